"""Score over cost for a pair's candidates, in torch and as ONNX."""

from strata.analysis.tables import read_tables
from strata.figures.formats import formats_plot
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import FigureStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    plot = formats_plot(table, FigureStyle(**params.style), params.tolerance)
    save(plot, out.png, out.pdf)
