"""Every method's number for every layer of a model on a task, and the finding in words."""

import pandas as pd

from strata.analysis.agreement import layer_table, pair_finding, with_blocks
from strata.analysis.reinit import layer_costs
from strata.runtime.job import job

given, wildcards = snakemake.input, snakemake.wildcards
with job(snakemake.log[0]):
    cka = pd.read_csv(given.cka)
    table = layer_table(
        cka,
        pd.read_csv(given.truncation),
        pd.read_csv(given.skipping),
        layer_costs(pd.read_csv(given.reinit[0])) if given.reinit else None,
        pd.read_csv(given.nu),
    )
    table.insert(0, "model", wildcards.model)
    table.insert(1, "task", wildcards.task)
    finding = pair_finding(wildcards.model, wildcards.task, table, cka, snakemake.params.settings)
    with_blocks(table, finding).to_csv(snakemake.output.table, index=False)
    pd.DataFrame([finding]).to_csv(snakemake.output.finding, index=False)
    print(finding["finding"])
