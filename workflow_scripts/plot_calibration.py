"""How confident cut models are, and which predictions a cut changes, for one model and task."""

import pandas as pd

from strata.figures.calibration import calibration_curves
from strata.figures.style import save
from strata.runtime.job import job

out = snakemake.output
with job(snakemake):
    table = pd.read_csv(snakemake.input.table)
    save(calibration_curves(table, snakemake.params.titles), out.png, out.pdf)
