"""Bring a model folder into data/ (rules fetch_model, fetch_given)."""

from strata.runtime.job import job
from strata.sources.fetch_model import fetch_model
from strata.study.architectures import check_declared, read_config

name, folder, params = snakemake.wildcards.model, snakemake.output.folder, snakemake.params
with job(snakemake):
    # A checkpoint may take the tokenizer of the encoder that it was made from.
    fetch_model(name, params.description, folder, params.get("needs_tokenizer", True))
    # Not among params: declaring the layers of a model that is there fetches nothing again.
    declared = snakemake.config["models"][name]
    check_declared(read_config(folder), {**declared, **params.description}, name)
