"""Hidden-state variability at every depth of the pretrained encoder (Xie et al. 2022, 3.1)."""

from strata.activations import Activations
from strata.jobs import job

given = snakemake.params
with (
    job(snakemake.log[0], snakemake.threads),
    Activations.open(snakemake.input.activations) as trained,
):
    from strata.tasks import Task
    from strata.variability import classes, variability_table

    task, labels = Task.read(snakemake.input.task), trained.examples()["label"].to_numpy()
    table = variability_table(
        trained.vectors("mean"),
        trained.depths("mean"),
        classes(task, labels, given.bins),
        given.resamples,
        given.confidence,
    )
    table.insert(0, "model", snakemake.wildcards.model)
    table.insert(1, "task", task.name)
    table.to_csv(snakemake.output.table, index=False)
