"""Truncation: UNTUNED, TUNED and TUNEDORIG heads at every depth."""


rule score_untuned:
    input:
        activations=EVAL_ACTIVATIONS,
        checkpoint=checkpoint_of_state,
        task=TASK,
    output:
        table=f"{UNTUNED}.csv",
        predictions=f"{UNTUNED}.parquet",
    log:
        "<logs>/score_untuned/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/score_untuned/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        code=code_of(
            "score_untuned", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "UNTUNED: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/score_untuned.py"


rule tune_heads:
    input:
        train=TRAIN_ACTIVATIONS,
        eval=EVAL_ACTIVATIONS,
        checkpoint=checkpoint_of_state,
        task=TASK,
    output:
        table=f"{TUNED}.csv",
        predictions=f"{TUNED}.parquet",
        heads=f"{TUNED}.safetensors",
    log:
        "<logs>/tune_heads/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/tune_heads/{model}_{task}_{state}.tsv"
    # Runs before any other dump of train activations, since these are deleted when this one ends.
    priority: 10
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        heads=heads_of,
        code=code_of("tune_heads", "architecture", "head_style", "task_type", "metric"),
    message:
        "TUNED: {wildcards.model} on {wildcards.task}, {wildcards.state}, all depths together"
    script:
        "../workflow_scripts/tune_heads.py"


rule tune_fresh_heads:
    input:
        train=TRAIN_ACTIVATIONS.replace("{state}", str(PRETRAINED)),
        eval=EVAL_ACTIVATIONS.replace("{state}", str(PRETRAINED)),
        model=MODEL,
        task=TASK,
    output:
        table=f"{TUNED_ORIG}.csv",
        predictions=f"{TUNED_ORIG}.parquet",
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
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        heads=heads_of,
        style=style_of,
        code=code_of(
            "tune_fresh_heads", "architecture", "head_style", "task_type", "metric"
        ),
    message:
        "TUNEDORIG: {wildcards.model} on {wildcards.task}, seed {wildcards.seed}, all depths together"
    script:
        "../workflow_scripts/tune_fresh_heads.py"


rule tabulate_truncation:
    input:
        untuned=runs(f"{UNTUNED}.csv"),
        tuned=tuned_runs(f"{TUNED}.csv"),
        orig=fresh_runs(f"{TUNED_ORIG}.csv"),
        untuned_predictions=runs(f"{UNTUNED}.parquet"),
        tuned_predictions=tuned_runs(f"{TUNED}.parquet"),
        orig_predictions=fresh_runs(f"{TUNED_ORIG}.parquet"),
        metrics=runs(METRICS),
    output:
        table=f"{TRUNCATION}.csv",
    log:
        "<logs>/tabulate_truncation/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_truncation/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        sampling=sampling(config),
        code=code_of("tabulate_truncation", "metric"),
    message:
        "Truncation table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_truncation.py"
