"""What the similarity of a state's depths consists of: components, label, examples, neighbours."""

from strata.analysis.activations import Activations
from strata.analysis.control_tables import controls_table
from strata.runtime.job import job

wildcards = snakemake.wildcards
with job(snakemake), Activations.open(snakemake.input.activations) as activations:
    identity = {name: wildcards[name] for name in ("model", "task", "state")}
    controls_table(activations, identity).to_csv(snakemake.output.table, index=False)
