"""Which depths are selected on subsamples, for a model and task."""

import pandas as pd

from strata.figures.style import save
from strata.figures.variability import robustness
from strata.runtime.job import job

with job(snakemake):
    plot = robustness(pd.read_csv(snakemake.input.table), snakemake.params.titles)
    save(plot, snakemake.output.png, snakemake.output.pdf)
