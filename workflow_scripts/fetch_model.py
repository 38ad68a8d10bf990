"""Bring a model folder into data/ (rules fetch_model, fetch_given)."""

from strata.runtime.job import job
from strata.sources.fetch_model import fetch_model
from strata.study.architectures import check_declared, read_config

wildcards, folder, params = snakemake.wildcards, snakemake.output.folder, snakemake.params
with job(snakemake):
    number = wildcards.get("number")
    name = f"{wildcards.model}, checkpoint {number}" if number else wildcards.model
    # A checkpoint may take the tokenizer of the encoder that it was made from.
    fetch_model(name, params.description, folder, params.get("needs_tokenizer", True))
    # Not a param: declaring the layers of a model that is already there must not fetch it again.
    declared = snakemake.config["models"][wildcards.model] | params.description
    check_declared(read_config(folder), declared, wildcards.model)
