"""Bring a task into data/tasks, in the form of strata.data.task."""

from pathlib import Path

from strata.data.task import SPLITS, read_examples
from strata.runtime.job import job
from strata.sources.fetch_task import fetch_task
from strata.sources.prepare import check_enough

name, out = snakemake.wildcards.task, snakemake.output
with job(snakemake):
    task = fetch_task(name, snakemake.params.description, Path(out.task).parent)
    checked = [split for split in SPLITS if task.sizes[split] or split == "eval"]
    check_enough(name, {split: read_examples(out[split])["label"] for split in checked})
    print(f"{task.sizes['train']:,} train and {task.sizes['eval']:,} eval examples")
