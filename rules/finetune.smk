"""Fine-tuning: one run a model, task, variant and seed."""


rule finetune:
    input:
        model="data/models/{model}",
        train="data/tasks/{task}/train.parquet",
        eval="data/tasks/{task}/eval.parquet",
        task="data/tasks/{task}/task.json",
    output:
        checkpoint=directory(f"{RUN}/checkpoint"),
        predictions=f"{RUN}/predictions.parquet",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        "<logs>/finetune/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/finetune/{model}_{task}_{variant}_{seed}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        mem_mb=16000,
        runtime=240,
    params:
        training=training_of,
        code=code_version("finetune"),
    message:
        "Fine-tune {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/finetune.py"


rule score_run:
    input:
        predictions=f"{RUN}/predictions.parquet",
        examples="data/tasks/{task}/eval.parquet",
        task="data/tasks/{task}/task.json",
    output:
        metrics=f"{RUN}/metrics.json",
    log:
        "<logs>/score_run/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/score_run/{model}_{task}_{variant}_{seed}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        evaluation=EVAL_SAMPLE,
        sampling=sampling(config),
        code=code_version("score_run"),
    message:
        "Score {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/score_run.py"
