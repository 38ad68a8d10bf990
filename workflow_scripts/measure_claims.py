"""The quantities that decide the papers' claims, of a model on a task."""

from strata.analysis.claim_evidence import Pair, evidence_tables
from strata.analysis.claim_registry import MEASURES
from strata.analysis.claim_tables import read_pair
from strata.runtime.job import job
from strata.study.settings import ClaimSettings

params, wildcards = snakemake.params, snakemake.wildcards
with job(snakemake):
    tables = evidence_tables(dict(snakemake.input.items()), params.seeds)
    pair = Pair(wildcards.model, wildcards.task, tables, ClaimSettings(**params.settings))
    read_pair(pair, MEASURES, params.analyses).to_csv(snakemake.output.table, index=False)
