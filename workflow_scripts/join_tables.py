"""Tables, joined: join_frontiers, tabulate_cka_models, tabulate_findings, tabulate_summary."""

from strata.runtime.job import job

with job(snakemake):
    import pandas as pd

    # As text: what looks like a number may be none ("3" is a layer set).
    parts = [pd.read_csv(p, dtype=str, keep_default_na=False) for p in snakemake.input.tables]
    pd.concat(parts, ignore_index=True).to_csv(snakemake.output.table, index=False)
