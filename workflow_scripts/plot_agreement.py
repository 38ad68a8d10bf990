"""Every method over the depths of a model on a task."""

import pandas as pd

from strata.figures.agreement import methods_by_depth
from strata.figures.style import save
from strata.runtime.job import job

inputs = snakemake.input
with job(snakemake):
    plot = methods_by_depth(
        pd.read_csv(inputs.table), pd.read_csv(inputs.finding), snakemake.params.titles
    )
    save(plot, snakemake.output.png, snakemake.output.pdf)
