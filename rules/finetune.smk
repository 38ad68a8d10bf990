"""Fine-tuning: one run a model, task, variant and seed."""

TOKENS = "<results>/tokens/{model}_{task}"


rule tokenize_task:
    input:
        model="data/models/{model}",
        train="data/tasks/{task}/train.parquet",
        eval="data/tasks/{task}/eval.parquet",
    output:
        train=f"{TOKENS}/train.arrow",
        eval=f"{TOKENS}/eval.arrow",
    log:
        "<logs>/tokenize_task/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tokenize_task/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        max_length=max_length_of,
        code=code_version("tokenize_task"),
    message:
        "Tokenise {wildcards.task} for {wildcards.model}"
    script:
        "../workflow_scripts/tokenize_task.py"


rule finetune:
    input:
        model="data/models/{model}",
        train="data/tasks/{task}/train.parquet",
        eval="data/tasks/{task}/eval.parquet",
        train_tokens=f"{TOKENS}/train.arrow",
        eval_tokens=f"{TOKENS}/eval.arrow",
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
    wildcard_constraints:
        variant=Variant.KEPT,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        training=training_of,
        ablation=ablation_of,
        code=code_version("finetune"),
    message:
        "Fine-tune {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/finetune.py"


# Runs that only their score is wanted of: no checkpoint is kept.
use rule finetune as ablate with:
    output:
        predictions=f"{RUN}/predictions.parquet",
        history=f"{RUN}/history.csv",
        run=f"{RUN}/run.json",
    log:
        "<logs>/ablate/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/ablate/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        variant=Variant.ABLATED,
    message:
        "Ablate {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"


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
