"""Every method's number for every layer of a model on a task, and the finding in words."""

import pandas as pd

from strata.analysis.agreement import layer_table, pair_finding, with_blocks
from strata.analysis.block_tables import made_blocks
from strata.analysis.failed_runs import beside_all_runs, with_every_run
from strata.analysis.reinit import layer_costs
from strata.runtime.job import job
from strata.study.settings import SummarySettings

inputs, wildcards = snakemake.input, snakemake.wildcards
with job(snakemake):
    runs = [pd.read_csv(path) for path in (inputs.cka, inputs.truncation, inputs.skipping)]
    reinit, nu = [pd.read_csv(path) for path in inputs.reinit], pd.read_csv(inputs.nu)
    movement, blocks = pd.read_csv(inputs.movement), pd.read_csv(inputs.blocks)
    table, every = (
        layer_table(
            *map(kept, runs),
            layer_costs(kept(reinit[0])) if reinit else None,
            nu,
            kept(movement),
        )
        for kept in (pd.DataFrame.copy, with_every_run)
    )
    table.insert(0, "model", wildcards.model)
    table.insert(1, "task", wildcards.task)
    settings = SummarySettings(**snakemake.params.settings)
    finding = pair_finding(wildcards.model, wildcards.task, table, blocks, settings)
    table = with_blocks(table, made_blocks(blocks))
    every = every.drop(columns=["variability", "n_examples"])
    beside_all_runs(table, every, "depth").to_csv(snakemake.output.table, index=False)
    pd.DataFrame([finding]).to_csv(snakemake.output.finding, index=False)
    print(finding["finding"])
