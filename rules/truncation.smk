"""Truncation: UNTUNED, TUNED and TUNEDORIG heads at every depth."""

TRUNCATION = "<results>/truncation/{model}_{task}"


rule score_untuned:
    input:
        activations=f"{ACTIVATIONS}/eval/{{state}}.h5",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
    output:
        table=f"{TRUNCATION}/untuned-{{state}}.csv",
        predictions=f"{TRUNCATION}/untuned-{{state}}.parquet",
    log:
        "<logs>/score_untuned/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/score_untuned/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        code=code_version("score_untuned"),
    message:
        "UNTUNED: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/score_untuned.py"


rule tune_heads:
    input:
        train=f"{ACTIVATIONS}/train/{{state}}.h5",
        eval=f"{ACTIVATIONS}/eval/{{state}}.h5",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
    output:
        table=f"{TRUNCATION}/tuned-{{state}}.csv",
        predictions=f"{TRUNCATION}/tuned-{{state}}.parquet",
        heads=f"{TRUNCATION}/tuned-{{state}}.safetensors",
    log:
        "<logs>/tune_heads/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/tune_heads/{model}_{task}_{state}.tsv"
    # Before any other dump of train activations, which this one's end deletes.
    priority: 10
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        heads=heads_without_converged,
        code=code_version("tune_heads"),
    message:
        "TUNED: {wildcards.model} on {wildcards.task}, {wildcards.state}, all depths together"
    script:
        "../workflow_scripts/tune_heads.py"


rule tune_fresh_heads:
    input:
        train=f"{ACTIVATIONS}/train/pretrained.h5",
        eval=f"{ACTIVATIONS}/eval/pretrained.h5",
        model="data/models/{model}",
        task="data/tasks/{task}/task.json",
    output:
        table=f"{TRUNCATION}/tuned-orig-seed{{seed}}.csv",
        predictions=f"{TRUNCATION}/tuned-orig-seed{{seed}}.parquet",
    log:
        "<logs>/tune_fresh_heads/{model}_{task}_{seed}.log",
    benchmark:
        "<benchmarks>/tune_fresh_heads/{model}_{task}_{seed}.tsv"
    priority: 10
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        heads=heads_of,
        code=code_version("tune_fresh_heads"),
    message:
        "TUNEDORIG: {wildcards.model} on {wildcards.task}, seed {wildcards.seed}, all depths together"
    script:
        "../workflow_scripts/tune_fresh_heads.py"


rule truncation:
    input:
        untuned=runs(f"{TRUNCATION}/untuned-{{variant}}-seed{{seed}}.csv"),
        tuned=runs(f"{TRUNCATION}/tuned-{{variant}}-seed{{seed}}.csv"),
        orig=runs(f"{TRUNCATION}/tuned-orig-seed{{seed}}.csv"),
        metrics=runs(f"{RUN}/metrics.json"),
    output:
        table="<results>/truncation/{model}_{task}.csv",
    log:
        "<logs>/truncation/{model}_{task}.log",
    benchmark:
        "<benchmarks>/truncation/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=SEEDS,
        code=code_version("truncation"),
    message:
        "Truncation table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/truncation.py"
