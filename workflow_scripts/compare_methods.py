"""Every method's number for every layer of a model on a task, and the finding in words."""

import pandas as pd

from strata.analysis.agreement import layer_table, pair_finding, with_blocks
from strata.analysis.block_tables import made_blocks
from strata.analysis.reinit import layer_costs
from strata.runtime.job import job
from strata.study.settings import SummarySettings

inputs, wildcards = snakemake.input, snakemake.wildcards
with job(snakemake):
    blocks = pd.read_csv(inputs.blocks)
    table = layer_table(
        pd.read_csv(inputs.cka),
        pd.read_csv(inputs.truncation),
        pd.read_csv(inputs.skipping),
        layer_costs(pd.read_csv(inputs.reinit[0])) if inputs.reinit else None,
        pd.read_csv(inputs.nu),
        pd.read_csv(inputs.movement),
    )
    table.insert(0, "model", wildcards.model)
    table.insert(1, "task", wildcards.task)
    settings = SummarySettings(**snakemake.params.settings)
    finding = pair_finding(wildcards.model, wildcards.task, table, blocks, settings)
    with_blocks(table, made_blocks(blocks)).to_csv(snakemake.output.table, index=False)
    pd.DataFrame([finding]).to_csv(snakemake.output.finding, index=False)
    print(finding["finding"])
