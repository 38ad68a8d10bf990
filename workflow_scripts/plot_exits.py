"""Score by the layers that a batch waits for, with early exit and static cuts, for a pair."""

from strata.analysis.tables import read_tables
from strata.figures.early_exit import exit_plot
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

with job(snakemake):
    table = read_tables(snakemake.input.tables)
    plot = exit_plot(table, FigureStyle(**snakemake.params.style))
    save(plot, snakemake.output.png, snakemake.output.pdf)
