"""Figure 1 for a model and task: its four CKA maps, by both estimators."""

from dataclasses import replace

import pandas as pd

from strata.analysis.tables import read_tables
from strata.figures.cka import pair_maps
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import MapStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table, style = pd.read_csv(snakemake.input.table), MapStyle(**params.style)
    blocks = read_tables(snakemake.input.blocks) if snakemake.input.blocks else None
    save(pair_maps(table, style, blocks), out.png, out.pdf)
    other = replace(style, estimator=params.other)
    save(pair_maps(table, other, blocks), out.other_png, out.other_pdf)
