"""Fine-tune one run; write its checkpoint, predictions, history and circumstances."""

import json
from pathlib import Path

from strata.devices import gpu_job
from strata.provenance import config_hash, git_commit, versions

given = snakemake.params
with gpu_job(
    snakemake.log[0],
    snakemake.threads,
    snakemake.resources.get("gpu", 0),
    snakemake.resources.jobs_per_device,
):
    from strata.batches import Rows
    from strata.models import load_model, load_tokenizer
    from strata.predictions import predict
    from strata.tasks import Task, read_examples
    from strata.training import finetune, training_examples
    from strata.variants import Variant

    task, seed = Task.read(snakemake.input.task), int(snakemake.wildcards.seed)
    dev, training = read_examples(snakemake.input.eval), given.training
    variant = Variant.parse(snakemake.wildcards.variant)
    train = training_examples(read_examples(snakemake.input.train), variant, seed)
    print(f"{task.name}: {len(train):,} train, {len(dev):,} eval examples", flush=True)

    model = load_model(snakemake.input.model, task, seed)
    tokenizer = load_tokenizer(snakemake.input.model)
    checkpoint = Path(snakemake.output.checkpoint)
    trained = finetune(
        model, tokenizer, train, dev, task, training, seed, snakemake.output.history,
        scratch=checkpoint.parent,
    )  # fmt: skip
    model.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)

    # All eval examples, in float32: what of them is scored, and how, is score_run's to decide.
    predictions = predict(model, Rows(tokenizer, dev, training["max_length"]), task, batch_size=64)
    dev[["example_id", "label"]].assign(prediction=predictions).to_parquet(
        snakemake.output.predictions, index=False
    )
    about = {
        **{name: snakemake.wildcards[name] for name in ("model", "task", "variant")},
        "seed": seed,
        **trained,
        "threads": snakemake.threads,
        "training": training,
        "config_hash": config_hash(training),
        "model_source": json.loads((Path(snakemake.input.model) / "source.json").read_text()),
        "task_source": task.source,
        "versions": versions(),
        "git_commit": git_commit(),
    }
    Path(snakemake.output.run).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
