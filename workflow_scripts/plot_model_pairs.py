"""Figure 7: CKA between models fine-tuned on the same task."""

from strata.drawing import save
from strata.figures import model_pair_grid
from strata.jobs import job
from strata.tables import read_tables

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
