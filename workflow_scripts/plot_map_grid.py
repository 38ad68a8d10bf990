"""One kind of CKA map for every task and model (rules figure2, figure5, figure6)."""

from strata.analysis.tables import read_tables
from strata.figures.cka import map_grid
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import MapStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    save(map_grid(table, params.kind, MapStyle(**params.style)), out.png, out.pdf)
