"""Score a run without each contiguous span of its layers (Phang et al. 2021, section 4.1)."""

from strata.modeling.compute import gpu_job

given = snakemake.params
with gpu_job(snakemake):
    from strata.analysis.skipping import skip_spans
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.head import Head
    from strata.modeling.loading import load_model, load_tokenizer
    from strata.study.states import State

    task, evaluation = Task.read(snakemake.input.task), given.evaluation
    examples = read_examples(
        snakemake.input.examples, evaluation["max_eval_examples"], evaluation["seed"]
    )
    model = load_model(snakemake.input.checkpoint, task).to(device())
    table = skip_spans(
        Encoder(model),
        Head(model).eval(),
        Rows(load_tokenizer(snakemake.input.model), examples, given.max_length),
        task,
        evaluation["batch_size"],
        evaluation["precision"],
    )
    table.insert(0, "seed", State.parse(snakemake.wildcards.state).seed)
    table.to_csv(snakemake.output.table, index=False)
