"""Bring a task into data/tasks, in the one form of strata.tasks."""

from pathlib import Path

from strata.jobs import job
from strata.sources import fetch_task

with job(snakemake.log[0]):
    folder = Path(snakemake.output.task).parent
    task = fetch_task(snakemake.wildcards.task, snakemake.params.description, folder)
    print(f"{task.sizes['train']:,} train and {task.sizes['eval']:,} eval examples")
