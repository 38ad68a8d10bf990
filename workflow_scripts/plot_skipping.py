"""Skip triangles, for one pair or the study (rules figure4, plot_skipping)."""

from strata.analysis.tables import read_tables
from strata.figures.skipping import skip_triangles
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

out = snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    save(skip_triangles(table, FigureStyle(**snakemake.params.style)), out.png, out.pdf)
