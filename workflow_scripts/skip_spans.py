"""Score a run without each contiguous span of its layers (Phang et al. 2021, section 4.1)."""

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    from strata.analysis.skipping import skip_spans, span_scores
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.head import Head
    from strata.modeling.loading import load_model
    from strata.study.settings import ForwardSettings, Sample
    from strata.study.states import State

    task = Task.read(inputs.task)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    tokenizer = load_tokenizer(inputs.model)
    max_length = length_limit(params.max_length, inputs.model, tokenizer)
    rows = Rows(tokenizer, examples, max_length)
    model = load_model(inputs.checkpoint, task).to(device())
    forward = ForwardSettings(**params.forward)
    predictions = skip_spans(Encoder(model), Head(model).eval(), rows, task, forward)
    table = span_scores(predictions, task)
    table.insert(0, "seed", State.parse(snakemake.wildcards.state).seed)
    write_predictions(predictions, snakemake.output.predictions)
    table.to_csv(snakemake.output.table, index=False)
