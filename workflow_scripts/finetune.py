"""Fine-tune one run, and write what is known of it (rules ablate, finetune)."""

from pathlib import Path

from strata.modeling.compute import gpu_job
from strata.runtime.provenance import versions

inputs, params, out = snakemake.input, snakemake.params, snakemake.output
wildcards, seed = snakemake.wildcards, int(snakemake.wildcards.seed)
with gpu_job(snakemake):
    from strata.data.task import Task, read_examples
    from strata.data.tokens import TokenisedRows, load_tokenizer
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.ablations import adapt, merge_adapters, trainable_parameters
    from strata.modeling.inference import timed_predictions
    from strata.modeling.loading import load_model
    from strata.modeling.resumption import file_facts, resumable
    from strata.modeling.training import finetune, training_examples
    from strata.study.run_records import Origin, RunName, RunRecord, read_model_source
    from strata.study.settings import TrainingSettings, ablation_settings_of
    from strata.study.variants import Variant

    task, variant = Task.read(inputs.task), Variant.parse(wildcards.variant)
    settings = TrainingSettings(**params.training)
    model = load_model(inputs.model, task, seed, params.style)
    tokenizer = load_tokenizer(inputs.model)
    adapt(model, variant, ablation_settings_of(variant, params.ablation), seed)
    examples = training_examples(read_examples(inputs.train), variant, seed)
    train = TokenisedRows(tokenizer, examples, inputs.train_tokens)
    dev = TokenisedRows(tokenizer, read_examples(inputs.eval), inputs.eval_tokens)
    print(
        f"{task.name}: {len(train.examples):,} train, {len(dev.examples):,} eval examples; "
        f"{trainable_parameters(model):,} parameters are trained",
        flush=True,
    )
    shaped_by = (
        file_facts(inputs),
        params.training,
        params.ablation,
        params.style,
        params.code,
        dict(wildcards),
        versions(),
    )
    with resumable(Path(out.history).parent, *shaped_by) as checkpoints:
        # Not among params: how often checkpoints are written changes no result.
        minutes = snakemake.config["resume"]["save_minutes"]
        trained = finetune(
            model, train, dev, task, settings, seed, out.history, checkpoints, minutes
        )
        merge_adapters(model)
        if "checkpoint" in out.keys():  # noqa: SIM118 (Snakemake's own kind of list)
            model.save_pretrained(out.checkpoint)
            tokenizer.save_pretrained(out.checkpoint)
        # All eval examples, in float32: what of them is scored, and how, is score_run's to decide.
        predictions, speed = timed_predictions(model, dev, task)
        write_predictions(predictions, out.predictions)
        name = RunName(wildcards.model, wildcards.task, wildcards.variant, seed)
        origin = Origin(snakemake.threads, read_model_source(inputs.model), task.source)
        RunRecord.of(name, trained, settings, origin, speed).write(out.run)
