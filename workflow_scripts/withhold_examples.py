"""A share of the train examples for choosing layers, and the others for training."""

from strata.runtime.job import job

with job(snakemake):
    from strata.data.parts import withhold
    from strata.data.task import read_examples

    kept, withheld = withhold(read_examples(snakemake.input.train), snakemake.params.share)
    print(f"{len(withheld):,} of {len(kept) + len(withheld):,} train examples are withheld")
    kept.to_parquet(snakemake.output.train, index=False)
    withheld.to_parquet(snakemake.output.withheld, index=False)
