"""Skip triangles, of one model and task or of the study (Figure 4)."""

from strata.analysis.tables import read_tables
from strata.figures.skipping import skip_triangles
from strata.figures.style import save
from strata.runtime.job import job

style = snakemake.params.style
with job(snakemake.log[0]):
    table = read_tables(snakemake.input.tables)
    plot = skip_triangles(table, style["seeds"], style["titles"], style["models"], style["tasks"])
    save(plot, snakemake.output.png, snakemake.output.pdf)
