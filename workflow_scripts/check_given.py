"""Check that a model's checkpoints, and the encoder they were made from, belong together."""

import json
from pathlib import Path

from strata.runtime.job import job

inputs, name = snakemake.input, snakemake.wildcards.model
with job(snakemake):
    from strata.data.task import read_examples
    from strata.sources.same_model import ENCODER, check_same_model

    folders = {f"checkpoint {Path(folder).name}": Path(folder) for folder in inputs.checkpoints}
    if inputs.encoder:
        folders[ENCODER] = Path(inputs.encoder[0])
    examples = read_examples(inputs.eval)
    read_by = check_same_model(name, folders, examples, snakemake.params.max_length)
    Path(snakemake.output.checked).write_text(json.dumps(read_by, indent=2) + "\n")
