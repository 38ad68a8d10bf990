"""Truncation curves, for one pair or the study (rules figure3, plot_truncation)."""

from strata.analysis.tables import read_tables
from strata.figures.style import save
from strata.figures.truncation import truncation_curves
from strata.runtime.job import job
from strata.study.settings import FigureStyle

out = snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    save(truncation_curves(table, FigureStyle(**snakemake.params.style)), out.png, out.pdf)
