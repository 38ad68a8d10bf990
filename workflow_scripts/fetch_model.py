"""Bring a model into data/models: config, safetensors weights, tokenizer."""

from strata.jobs import job
from strata.sources import fetch_model

with job(snakemake.log[0]):
    fetch_model(snakemake.wildcards.model, snakemake.params.description, snakemake.output.folder)
