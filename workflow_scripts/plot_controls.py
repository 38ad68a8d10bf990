"""What the similarity of a pair's depths consists of, before and after fine-tuning."""

import pandas as pd

from strata.figures.controls import controls_by_depth
from strata.figures.style import save
from strata.runtime.job import job

params, out = snakemake.params, snakemake.output
with job(snakemake):
    table = pd.read_csv(snakemake.input.table)
    save(controls_by_depth(table, params.pooling, params.titles), out.png, out.pdf)
