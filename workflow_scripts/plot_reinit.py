"""A figure of partial reinitialisation, of the whole study."""

from strata.drawing import save
from strata.figures_reinit import FIGURES
from strata.jobs import job
from strata.tables import read_tables

given, style = snakemake.input, snakemake.params.style
with job(snakemake.log[0]):
    table = read_tables([*given.tables, *given.get("probing", [])])
    draw = FIGURES[snakemake.params.kind]
    save(
        draw(table, style["titles"], style["models"], style["tasks"]),
        snakemake.output.png,
        snakemake.output.pdf,
    )
