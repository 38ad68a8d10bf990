"""Bring a model into data/models: config, safetensors weights, tokenizer."""

from strata.runtime.job import job
from strata.sources.fetch_model import fetch_model
from strata.study.architectures import check_declared, read_config

name, folder = snakemake.wildcards.model, snakemake.output.folder
with job(snakemake):
    fetch_model(name, snakemake.params.description, folder)
    # Not among params: declaring the layers of a model that is there fetches nothing again.
    check_declared(read_config(folder), snakemake.config["models"][name], name)
