"""Truncation curves, of one model and task or of the study (Figure 3)."""

from strata.analysis.tables import read_tables
from strata.figures.style import save
from strata.figures.truncation import truncation_curves
from strata.runtime.job import job
from strata.study.settings import FigureStyle

out = snakemake.output
with job(snakemake.log[0]):
    table = read_tables(snakemake.input.tables)
    save(truncation_curves(table, FigureStyle(**snakemake.params.style)), out.png, out.pdf)
