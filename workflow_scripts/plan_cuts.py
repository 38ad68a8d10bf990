"""Name the models of a run that are cut and then trained, one per line."""

from pathlib import Path

from strata.runtime.job import job
from strata.study.trained_cuts import trained_cuts

params = snakemake.params
with job(snakemake):
    cuts = trained_cuts(params.settings, snakemake.input.sets, params.possible)
    text = "".join(f"{cut}\n" for cut in cuts)
    Path(snakemake.output.names).write_text(text, encoding="utf-8")
