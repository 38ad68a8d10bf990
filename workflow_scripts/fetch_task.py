"""Bring a task into data/tasks, in the one form of strata.tasks."""

from pathlib import Path

from strata.jobs import job
from strata.sources import fetch_task
from strata.tasks import SPLITS, check_enough, read_examples

name, out = snakemake.wildcards.task, snakemake.output
with job(snakemake.log[0]):
    task = fetch_task(name, snakemake.params.description, Path(out.task).parent)
    check_enough(name, {split: read_examples(out[split])["label"] for split in SPLITS})
    print(f"{task.sizes['train']:,} train and {task.sizes['eval']:,} eval examples")
