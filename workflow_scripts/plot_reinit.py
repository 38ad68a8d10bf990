"""Draw plot_progressive, plot_kept_norms, plot_faster_layers, plot_localized, plot_permutation."""

from strata.analysis.tables import read_tables
from strata.figures.reinit import FIGURES
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

inputs, params, out = snakemake.input, snakemake.params, snakemake.output
with job(snakemake):
    table = read_tables([*inputs.tables, *inputs.get("probing", [])])
    draw = FIGURES[params.kind]
    save(draw(table, FigureStyle(**params.style)), out.png, out.pdf)
