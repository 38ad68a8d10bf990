"""The quantities that decide the papers' claims, for a model on a task."""

from strata.analysis.claim_evidence import Pair, evidence_tables
from strata.analysis.claim_registry import MEASURES
from strata.analysis.claim_runs import run_answers
from strata.analysis.claim_tables import read_pair
from strata.data.task import read_examples
from strata.runtime.job import job
from strata.study.settings import ClaimSettings, Sample

params, wildcards = snakemake.params, snakemake.wildcards
with job(snakemake):
    files = dict(snakemake.input.items())
    examples = read_examples(files.pop("examples"), Sample(**params.evaluation))
    runs = files.pop("runs", [])
    tables = evidence_tables(files, params.seeds)
    if runs:
        tables["runs"] = run_answers(runs, examples)
    pair = Pair(wildcards.model, wildcards.task, tables, ClaimSettings(**params.settings))
    read_pair(pair, MEASURES, params.analyses).to_csv(snakemake.output.table, index=False)
