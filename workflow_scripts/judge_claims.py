"""Every claim of the papers, and whether it holds in this study."""

from strata.analysis.claim_registry import CLAIMS
from strata.analysis.claim_tables import claims_table, readings_of
from strata.analysis.claims import Study, judge_claims
from strata.analysis.tables import read_tables
from strata.runtime.job import job
from strata.study.settings import ClaimSettings

inputs, params = snakemake.input, snakemake.params
with job(snakemake):
    named = {name: files for name, files in inputs.items() if name != "readings"}
    study = Study(
        architectures=params.architectures,
        tasks=params.tasks,
        analyses=params.analyses,
        readings=readings_of(read_tables(inputs.readings)),
        tables={name: read_tables(files) for name, files in named.items()},
        settings=ClaimSettings(**params.settings),
    )
    claims_table(judge_claims(CLAIMS, study)).to_csv(snakemake.output.table, index=False)
