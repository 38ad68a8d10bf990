"""Score over cost, for one pair or the study (rules plot_frontier, plot_frontiers)."""

from strata.analysis.tables import read_tables
from strata.figures.frontier import frontier_plot
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    plot = frontier_plot(table, FigureStyle(**params.style), params.tolerance)
    save(plot, out.png, out.pdf)
