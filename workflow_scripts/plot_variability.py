"""Variability over depth, and what training the selected layers gives, for a model and task."""

import pandas as pd

from strata.figures.style import save
from strata.figures.variability import variability_and_selection
from strata.runtime.job import job

inputs = snakemake.input
with job(snakemake):
    paths = (inputs.nu, inputs.finding, inputs.table, inputs.paired)
    plot = variability_and_selection(*map(pd.read_csv, paths), snakemake.params.titles)
    save(plot, snakemake.output.png, snakemake.output.pdf)
