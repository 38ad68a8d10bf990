"""How far a model can be cut, UNTUNED and TUNED, and what that saves."""

import pandas as pd

from strata.analysis.summary import Evidence, summarise
from strata.analysis.tables import read_metrics
from strata.runtime.job import job
from strata.study.settings import SummarySettings

# The name of each answer's predictions in their file.
CONFIGURATIONS = {"untuned": "untuned", "tuned": "tuned-best"}
inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake):
    predictions = {
        (name, seed): pd.read_parquet(path, filters=[("configuration", "==", configuration)])
        for name, configuration in CONFIGURATIONS.items()
        if inputs[name]  # no TUNED if there is nothing to train on
        for seed, path in zip(params.seeds, inputs[name], strict=True)
    }
    metrics = read_metrics(inputs.metrics, params.seeds)
    evidence = Evidence(predictions, metrics, inputs.checkpoint[0])
    settings = SummarySettings(**params.settings)
    answers, verdicts = summarise(wildcards.model, wildcards.task, evidence, settings)
    answers.to_csv(snakemake.output.table, index=False)
    verdicts.to_csv(snakemake.output.verdicts, index=False)
