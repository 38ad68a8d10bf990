"""Figure 1 of a model and task: its four CKA maps, by both estimators."""

import pandas as pd

from strata.figures.cka import pair_maps
from strata.figures.style import save
from strata.runtime.job import job

style, out = snakemake.params.style, snakemake.output
with job(snakemake.log[0]):
    table = pd.read_csv(snakemake.input.table)
    for estimator, png, pdf in (
        (style["estimator"], out.png, out.pdf),
        (snakemake.params.other, out.other_png, out.other_pdf),
    ):
        plot = pair_maps(table, style["seeds"], estimator, style["titles"], style["pooling"])
        save(plot, png, pdf)
