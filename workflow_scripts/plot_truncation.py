"""Truncation curves, of one model and task or of the study (Figure 3)."""

from strata.analysis.tables import read_tables
from strata.figures.style import save
from strata.figures.truncation import truncation_curves
from strata.runtime.job import job

style = snakemake.params.style
with job(snakemake.log[0]):
    table = read_tables(snakemake.input.tables)
    plot = truncation_curves(table, style["titles"], style["models"], style["tasks"])
    save(plot, snakemake.output.png, snakemake.output.pdf)
