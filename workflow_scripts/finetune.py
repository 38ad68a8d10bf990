"""Fine-tune one run; write its checkpoint, score, history and circumstances."""

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
    from strata.training import finetune, run_metrics, training_examples, write_json
    from strata.variants import Variant

    task, seed = Task.read(snakemake.input.task), int(snakemake.wildcards.seed)
    evaluation, training = given.evaluation, given.training
    dev = read_examples(snakemake.input.eval, evaluation["max_eval_examples"], evaluation["seed"])
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

    rows = Rows(tokenizer, dev, training["max_length"])
    predictions = predict(model, rows, task, evaluation["batch_size"], evaluation["precision"])
    metrics = run_metrics(task, dev["label"].to_numpy(), predictions, given.sampling)
    write_json(metrics, snakemake.output.metrics)
    write_json(
        {
            **{name: snakemake.wildcards[name] for name in ("model", "task", "variant")},
            "seed": seed,
            **trained,
            "threads": snakemake.threads,
            "training": training,
            "config_hash": config_hash([training, evaluation, given.sampling]),
            "model_source": json.loads((Path(snakemake.input.model) / "source.json").read_text()),
            "task_source": task.source,
            "versions": versions(),
            "git_commit": git_commit(),
        },
        snakemake.output.run,
    )
    print(f"{metrics['metric']} {metrics['score']:.4f}, baseline {metrics['baseline']:.4f}")
