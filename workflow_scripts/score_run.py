"""A run's score, its interval, and whether it beats the baseline."""

from strata.analysis.runs import Scoring
from strata.data.task import Task, read_examples
from strata.runtime.job import job
from strata.study.settings import Sample, Sampling

inputs, params = snakemake.input, snakemake.params
with job(snakemake):
    scoring = Scoring(
        Task.read(inputs.task),
        read_examples(inputs.examples, Sample(**params.evaluation)),
        Sampling(**params.sampling),
    )
    metrics = scoring.metrics(inputs.predictions)
    metrics.write(snakemake.output.metrics)
    print(f"{metrics.metric} {metrics.score:.4f}, baseline {metrics.baseline:.4f}")
