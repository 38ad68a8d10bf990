"""A Snakemake logger plugin: Strata's console, a live display or plain lines."""

from snakemake_logger_plugin_strata.handler import LogHandler

__all__ = ["LogHandler"]
