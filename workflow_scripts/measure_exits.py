"""Early exit of a pair's runs, from their logits: each half of eval judges what the other chose."""

from strata.analysis.early_exit import DepthAnswers, exits_table
from strata.analysis.tables import read_metrics
from strata.data.task import Task
from strata.evaluation.prediction_files import read_with_logits
from strata.runtime.job import job
from strata.study.settings import Sampling

inputs, params = snakemake.input, snakemake.params
with job(snakemake):
    answers = {
        seed: DepthAnswers.of(read_with_logits(tuned), read_with_logits(untuned))
        for seed, tuned, untuned in zip(params.seeds, inputs.tuned, inputs.untuned, strict=True)
    }
    task, runs = Task.read(inputs.task), read_metrics(inputs.metrics, params.seeds)
    sampling = Sampling(**params.sampling)
    table = exits_table(snakemake.wildcards.model, task, answers, runs, sampling)
    table.to_csv(snakemake.output.table, index=False)
