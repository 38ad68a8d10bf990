"""How confident a pair's cut models are, and which predictions a cut changes, by depth."""

from strata.analysis.calibration import calibration_table
from strata.analysis.tables import read_metrics
from strata.data.task import Task
from strata.evaluation.prediction_files import read_with_logits
from strata.runtime.job import job

inputs, seeds = snakemake.input, snakemake.params.seeds
with job(snakemake):
    # A study may have no TUNED or TUNEDORIG, for any run.
    answers = [files for files in (inputs.untuned, inputs.tuned, inputs.orig) if files]
    predictions = {
        seed: [read_with_logits(path) for path in of_seed]
        for seed, of_seed in zip(seeds, zip(*answers, strict=True), strict=True)
    }
    runs, task = read_metrics(inputs.metrics, seeds), Task.read(inputs.task)
    table = calibration_table(snakemake.wildcards.model, task, predictions, runs)
    table.to_csv(snakemake.output.table, index=False)
