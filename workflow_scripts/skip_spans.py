"""Score a run without each contiguous span of its layers (Phang et al. 2021, section 4.1)."""

from strata.devices import gpu_job

given = snakemake.params
with gpu_job(snakemake):
    from strata.batches import Rows
    from strata.devices import device
    from strata.models import Encoder, Head, load_model, load_tokenizer
    from strata.skipping import skip_spans
    from strata.tables import seed_of
    from strata.tasks import Task, read_examples

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
    table.insert(0, "seed", seed_of(snakemake.wildcards.state))
    table.to_csv(snakemake.output.table, index=False)
