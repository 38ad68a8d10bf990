"""One kind of CKA map for every task and model (rules figure2, figure5, figure6)."""

from strata.analysis.tables import read_tables
from strata.figures.cka import map_grid
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import MapStyle

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table, of_blocks = read_tables(snakemake.input.tables), snakemake.input.get("blocks")
    blocks = read_tables(of_blocks) if of_blocks else None
    save(map_grid(table, params.kind, MapStyle(**params.style), blocks), out.png, out.pdf)
