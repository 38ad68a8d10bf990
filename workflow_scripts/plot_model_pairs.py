"""CKA between models fine-tuned on the same task (rule figure7)."""

from strata.analysis.tables import read_tables
from strata.figures.cka import model_pair_grid
from strata.figures.style import save
from strata.runtime.job import job
from strata.study.settings import MapStyle

out = snakemake.output
with job(snakemake):
    table = read_tables(snakemake.input.tables)
    save(model_pair_grid(table, MapStyle(**snakemake.params.style)), out.png, out.pdf)
