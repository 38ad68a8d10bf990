"""Fine-tune one run; write its predictions, history, circumstances and, if asked, checkpoint."""

import json
import time
from pathlib import Path

from strata.modeling.compute import gpu_job
from strata.runtime.provenance import config_hash, git_commit, versions

given, out = snakemake.input, snakemake.output
training, seed = snakemake.params.training, int(snakemake.wildcards.seed)
with gpu_job(snakemake):
    from strata.data.task import Task, read_examples
    from strata.data.tokens import TokenisedRows
    from strata.modeling.ablations import adapt, merge_adapters, trainable_parameters
    from strata.modeling.encoder import encoder_layers
    from strata.modeling.inference import predict
    from strata.modeling.loading import load_model, load_tokenizer
    from strata.modeling.resumption import file_facts, resumable
    from strata.modeling.training import finetune, training_examples
    from strata.study.variants import Variant

    task, variant = Task.read(given.task), Variant.parse(snakemake.wildcards.variant)
    model, tokenizer = load_model(given.model, task, seed), load_tokenizer(given.model)
    adapt(model, variant, snakemake.params.ablation, seed)
    trainable = trainable_parameters(model)

    examples = training_examples(read_examples(given.train), variant, seed)
    train = TokenisedRows(tokenizer, examples, given.train_tokens)
    dev = TokenisedRows(tokenizer, read_examples(given.eval), given.eval_tokens)
    print(
        f"{task.name}: {len(train.examples):,} train, {len(dev.examples):,} eval examples; "
        f"{trainable:,} parameters are trained",
        flush=True,
    )
    shaped_by = (
        file_facts(given),
        training,
        snakemake.params.ablation,
        snakemake.params.code,
        dict(snakemake.wildcards),
        versions(),
    )
    with resumable(Path(out.history).parent, *shaped_by) as checkpoints:
        trained = finetune(
            model,
            train,
            dev,
            task,
            training,
            seed,
            out.history,
            checkpoints,
            # Not among params: how often checkpoints are written changes no result.
            snakemake.config["resume"]["save_minutes"],
        )
        merge_adapters(model)
        if "checkpoint" in out.keys():  # noqa: SIM118 (Snakemake's own kind of list)
            model.save_pretrained(out.checkpoint)
            tokenizer.save_pretrained(out.checkpoint)

        # All eval examples, in float32: what of them is scored, and how, is score_run's to decide.
        began = time.monotonic()
        predictions = predict(model, dev, task, batch_size=64)
        seconds = time.monotonic() - began
        dev.examples[["example_id", "label"]].assign(prediction=predictions).to_parquet(
            out.predictions, index=False
        )
        about = {
            **{name: snakemake.wildcards[name] for name in ("model", "task", "variant")},
            "seed": seed,
            **trained,
            "train_examples": len(train.examples),
            "trainable_parameters": trainable,
            "layers": len(encoder_layers(model)),
            "inference_examples_per_second": round(len(dev.examples) / seconds, 2),
            "threads": snakemake.threads,
            "training": training,
            "config_hash": config_hash(training),
            "model_source": json.loads((Path(given.model) / "source.json").read_text()),
            "task_source": task.source,
            "versions": versions(),
            "git_commit": git_commit(),
        }
        Path(out.run).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
