"""Adopt an already fine-tuned model as a run: checked, with its outputs in the task's order."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params, out = snakemake.input, snakemake.params, snakemake.output
wildcards, number = snakemake.wildcards, int(snakemake.wildcards.seed)
with gpu_job(snakemake):
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit
    from strata.evaluation.prediction_files import write_predictions
    from strata.modeling.adopt import fit_notes, load_given, write_adopted
    from strata.modeling.inference import timed_predictions
    from strata.modeling.loading import check_length
    from strata.sources.same_model import cut_share, tokenizer_of
    from strata.study.run_records import AdoptedRecord, RunName, read_model_source
    from strata.study.settings import Sampling

    task, folder = Task.read(inputs.task), Path(inputs.given)
    what = f"Model '{wildcards.model}', checkpoint {number}"
    tokenizer = tokenizer_of(folder, Path(params.encoder.format(**wildcards)), what)
    limit = length_limit(params.max_length, folder, tokenizer)
    rows = Rows(tokenizer, read_examples(inputs.eval), limit)
    adopted = load_given(folder, task, what, params.label_map)
    check_length(adopted.model, limit)
    predictions, speed = timed_predictions(adopted.model, rows, task)
    notes = fit_notes(adopted, predictions, task, Sampling(**params.sampling), what)
    share = cut_share(rows)
    print(f"{share:.1%} of the texts have more than {limit} tokens and are cut", flush=True)
    for note in notes:
        print(f"Warning: {note}", flush=True)
    write_adopted(adopted, tokenizer, folder, out.checkpoint)
    write_predictions(predictions, out.predictions)
    AdoptedRecord.of(
        RunName(wildcards.model, wildcards.task, wildcards.variant, number),
        layers=adopted.layers,
        max_length=limit,
        cut_share=share,
        labels_by=adopted.order.by if adopted.order else None,
        threads=snakemake.threads,
        speed=speed,
        model_source=read_model_source(folder),
        task_source=task.source,
        notes=notes,
    ).write(out.run)
