"""A layer set of every size by each method, chosen on examples that do not judge."""

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    from strata.analysis.layer_geometry import layer_geometry
    from strata.analysis.layer_selection import Measuring, proposals, propose
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.head import Head
    from strata.modeling.loading import load_model
    from strata.study.architectures import layer_count, read_config
    from strata.study.layer_sets import Layers
    from strata.study.settings import ForwardSettings, Sample

    task, tokenizer = Task.read(inputs.task), load_tokenizer(inputs.model)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    rows = Rows(tokenizer, examples, length_limit(params.max_length, inputs.model, tokenizer))
    model = load_model(inputs.checkpoint, task).to(device())
    forward, config = ForwardSettings(**params.forward), read_config(inputs.checkpoint)
    layers, encoder = Layers.of(config, layer_count(config)), Encoder(model)
    measuring = Measuring(encoder, Head(model).eval(), rows, task, forward)
    geometry = layer_geometry(encoder, rows, forward)
    found = propose(layers, geometry, measuring, params.exhaustive)
    proposals(found, measuring).to_csv(snakemake.output.sets, index=False)
    measuring.table().to_csv(snakemake.output.measured, index=False)
