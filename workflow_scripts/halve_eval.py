"""The eval examples in two halves: one chooses layers, the other judges."""

from strata.runtime.job import job

with job(snakemake):
    from strata.data.parts import halve
    from strata.data.task import read_examples
    from strata.study.settings import Sample

    sample = Sample(**snakemake.params.sample)
    choose, judge = halve(read_examples(snakemake.input.examples, sample))
    print(f"{len(choose):,} examples choose, {len(judge):,} judge")
    choose.to_parquet(snakemake.output.choose, index=False)
    judge.to_parquet(snakemake.output.judge, index=False)
