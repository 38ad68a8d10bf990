"""Score by layers kept, for every way to make a pair's smaller model."""

from strata.analysis.tables import read_tables
from strata.figures.style import save
from strata.figures.training import training_plot
from strata.runtime.job import job
from strata.study.settings import FigureStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    plot = training_plot(table, FigureStyle(**params.style), params.tolerance)
    save(plot, out.png, out.pdf)
