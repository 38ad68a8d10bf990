"""Figures 2, 5 and 6: one kind of CKA map for every task and model."""

from strata.analysis.tables import read_tables
from strata.figures.cka import map_grid
from strata.figures.style import save
from strata.runtime.job import job

style = snakemake.params.style
with job(snakemake.log[0]):
    plot = map_grid(
        read_tables(snakemake.input.tables),
        snakemake.params.kind,
        style["seeds"],
        style["estimator"],
        style["titles"],
        style["models"],
        style["tasks"],
        style["pooling"],
    )
    save(plot, snakemake.output.png, snakemake.output.pdf)
