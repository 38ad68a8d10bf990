"""The study as one page: answers, claims, and every table by depth."""

from pathlib import Path

from strata.explorer.page import Shown, answers_text, explorer_page
from strata.explorer.tables import TABLES, read_table
from strata.runtime.job import job
from strata.study.run_records import RunMetrics

inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
with job(snakemake):
    found = dict(inputs.items())
    tables = {name: read_table(name, found[name]) for name in TABLES if name in found}
    runs = {
        tuple(run): RunMetrics.read(path)
        for run, path in zip(params.runs, inputs.metrics, strict=True)
    }
    shown = Shown(**params.shown)
    page = explorer_page(tables, runs, inputs.records, shown)
    Path(outputs.page).write_text(page, encoding="utf-8")
    Path(outputs.answers).write_text(answers_text(tables, runs, shown) + "\n", encoding="utf-8")
