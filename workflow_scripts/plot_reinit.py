"""A figure of partial reinitialisation, of the whole study."""

from strata.analysis.tables import read_tables
from strata.figures.reinit import FIGURES
from strata.figures.style import save
from strata.runtime.job import job

given, style = snakemake.input, snakemake.params.style
with job(snakemake.log[0]):
    table = read_tables([*given.tables, *given.get("probing", [])])
    draw = FIGURES[snakemake.params.kind]
    save(
        draw(table, style["titles"], style["models"], style["tasks"]),
        snakemake.output.png,
        snakemake.output.pdf,
    )
