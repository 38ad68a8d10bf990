"""Skipping: every contiguous span of layers left out."""


rule skip_spans:
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/eval.parquet",
    output:
        table="<results>/skipping/{model}_{task}/{state}.csv",
    log:
        "<logs>/skip_spans/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/skip_spans/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        forward=FORWARD,
        code=code_version("skip_spans"),
    message:
        "Skip spans: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/skip_spans.py"


rule skipping:
    input:
        tables=runs("<results>/skipping/{model}_{task}/{variant}-seed{seed}.csv"),
        metrics=runs(f"{RUN}/metrics.json"),
    output:
        table="<results>/skipping/{model}_{task}.csv",
    log:
        "<logs>/skipping/{model}_{task}.log",
    benchmark:
        "<benchmarks>/skipping/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=SEEDS,
        code=code_version("skipping"),
    message:
        "Skipping table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/skipping.py"
