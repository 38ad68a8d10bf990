"""Skipping: every contiguous span of layers left out."""


rule skip_spans:
    message:
        "Skip spans: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/eval.parquet",
    output:
        table="<results>/skipping/{model}_{task}/{state}.csv",
    params:
        max_length=max_length_of,
        evaluation=config["evaluation"],
        code=code_version("skip_spans"),
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        mem_mb=8000,
        runtime=240,
    log:
        "<logs>/skip_spans/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/skip_spans/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    script:
        "../workflow_scripts/skip_spans.py"


rule skipping:
    message:
        "Skipping table of {wildcards.model} on {wildcards.task}"
    input:
        tables=runs("<results>/skipping/{model}_{task}/{variant}-seed{seed}.csv"),
        metrics=runs(f"{RUN}/metrics.json"),
    output:
        table="<results>/skipping/{model}_{task}.csv",
    params:
        seeds=SEEDS,
        code=code_version("skipping"),
    log:
        "<logs>/skipping/{model}_{task}.log",
    benchmark:
        "<benchmarks>/skipping/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    script:
        "../workflow_scripts/skipping.py"
