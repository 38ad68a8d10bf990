"""Figure 7: CKA between models fine-tuned on the same task."""

from strata.analysis.tables import read_tables
from strata.figures.cka import model_pair_grid
from strata.figures.style import save
from strata.runtime.job import job

style = snakemake.params.style
with job(snakemake.log[0]):
    plot = model_pair_grid(
        read_tables(snakemake.input.tables),
        style["seeds"],
        style["estimator"],
        style["titles"],
        style["models"],
        style["tasks"],
        style["pooling"],
    )
    save(plot, snakemake.output.png, snakemake.output.pdf)
