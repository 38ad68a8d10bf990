"""Speed, size and memory of the model cut to each candidate layer set, alone on the machine."""

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    from strata.analysis.set_vectors import sets_of
    from strata.analysis.tables import read_tables
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.export.costs import measure_costs
    from strata.modeling.loading import load_model
    from strata.study.settings import Sample

    (checkpoint,) = inputs.checkpoint
    task, tokenizer = Task.read(inputs.task), load_tokenizer(checkpoint)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    rows = Rows(tokenizer, examples, length_limit(params.max_length, checkpoint, tokenizer))
    model = load_model(checkpoint, task)
    sets = sets_of(read_tables(inputs.sets), model.config.num_hidden_layers)
    costs = measure_costs(model, tokenizer, sets, rows, task, params.rounds)
    costs.to_csv(snakemake.output.costs, index=False)
