"""The smaller model: cut to a depth, with the head tuned there (layer sets: frontier.smk)."""


rule export_model:
    input:
        model=model_of_run,
        checkpoints=runs(CHECKPOINT),
        metrics=runs(METRICS),
        heads=tuned_runs(f"{TUNED}.safetensors"),
        summary=SUMMARY_OF_PAIR,
        task=TASK,
        examples=EVAL_EXAMPLES,
    output:
        folder=directory(EXPORT),
    log:
        "<logs>/export_model/{model}_{task}_depth{depth}.log",
    benchmark:
        "<benchmarks>/export_model/{model}_{task}_depth{depth}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        seeds=seeds_of,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        forward=FORWARD,
        sampling=sampling(config),
        tolerance=config["summary"]["tolerance"],
        title=lambda w: TITLES.get(w.model),
        style=exported_style_of,
        code=code_of(
            "export_model", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "Export {wildcards.model} on {wildcards.task}, depth{wildcards.depth}"
    script:
        "../workflow_scripts/export_model.py"
