"""The papers' claims by models and tasks."""

import pandas as pd

from strata.figures.claims import claims_figure
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

with job(snakemake):
    table = pd.read_csv(snakemake.input.table, keep_default_na=False, na_values=[""])
    plot = claims_figure(table, FigureStyle(**snakemake.params.style))
    save(plot, snakemake.output.png, snakemake.output.pdf)
