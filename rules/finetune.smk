"""Fine-tuning: one run per model, task, variant and seed; or an already fine-tuned model."""

# Models by how their runs are made.
ADOPTED = "|".join(given.given_models(config)) or "(?!)"
TRAINED = f"(?!(?:{ADOPTED})_)[a-z0-9-]+"


rule tokenize_task:
    input:
        model=tokenizer_of_model,
        train=TRAIN_EXAMPLES,
        eval=EVAL_EXAMPLES,
    output:
        train=TRAIN_TOKENS,
        eval=EVAL_TOKENS,
    log:
        "<logs>/tokenize_task/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tokenize_task/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        max_length=max_length_of,
        code=code_of("tokenize_task"),
    message:
        "Tokenise {wildcards.task} for {wildcards.model}"
    script:
        "../workflow_scripts/tokenize_task.py"


rule finetune:
    input:
        model=MODEL,
        train=TRAINED_ON,
        eval=EVAL_EXAMPLES,
        train_tokens=TRAIN_TOKENS,
        eval_tokens=EVAL_TOKENS,
        task=TASK,
    output:
        checkpoint=directory(CHECKPOINT),
        predictions=PREDICTIONS,
        history=HISTORY,
        run=RECORD,
    log:
        "<logs>/finetune/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/finetune/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        model=TRAINED,
        variant=Variant.KEPT,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        training=training_of,
        style=style_of,
        code=training_code("finetune"),
    message:
        "Fine-tune {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/finetune.py"


rule check_given:
    input:
        checkpoints=lambda w: expand(GIVEN, model=w.model, number=seeds_of(w)),
        encoder=lambda w: [MODEL] * has_pretrained(w),
        eval=EVAL_EXAMPLES,
    output:
        checked=CHECKED,
    log:
        "<logs>/check_given/{model}_{task}.log",
    benchmark:
        "<benchmarks>/check_given/{model}_{task}.tsv"
    wildcard_constraints:
        model=ADOPTED,
    conda:
        "../envs/strata.yaml"
    params:
        max_length=max_length_of,
        code=code_of("check_given"),
    message:
        "Do the checkpoints of {wildcards.model} belong together?"
    script:
        "../workflow_scripts/check_given.py"


# `ancient`: checking all checkpoints together must not rerun one that has not changed.
rule adopt:
    input:
        given=GIVEN.replace("{number}", "{seed}"),
        checked=ancient(CHECKED),
        eval=EVAL_EXAMPLES,
        task=TASK,
    output:
        checkpoint=directory(CHECKPOINT),
        predictions=PREDICTIONS,
        run=RECORD,
    log:
        "<logs>/adopt/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/adopt/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        model=ADOPTED,
        variant=Variant.KEPT,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        max_length=max_length_of,
        encoder=MODEL,
        label_map=lambda w: config["models"][w.model].get("label_map"),
        sampling=sampling(config),
        code=code_of("adopt", "architecture", "head_style", "task_type", "metric"),
    message:
        "Adopt checkpoint {wildcards.seed} of {wildcards.model} for {wildcards.task}"
    script:
        "../workflow_scripts/adopt.py"


# Runs of which only the score is needed: no checkpoint is kept. It is a separate rule, so that
# additions to ablations change no plain run.
rule ablate:
    input:
        model=MODEL,
        train=TRAINED_ON,
        eval=EVAL_EXAMPLES,
        train_tokens=TRAIN_TOKENS,
        eval_tokens=EVAL_TOKENS,
        task=TASK,
    output:
        predictions=PREDICTIONS,
        history=HISTORY,
        run=RECORD,
    log:
        "<logs>/ablate/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/ablate/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        model=TRAINED,
        variant=Variant.ABLATED,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        training=training_of,
        ablation=ablation_of,
        style=style_of,
        code=training_code("ablate"),
    message:
        "Ablate {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/ablate.py"


rule score_run:
    input:
        predictions=PREDICTIONS,
        examples=EVAL_EXAMPLES,
        task=TASK,
    output:
        metrics=METRICS,
    log:
        "<logs>/score_run/{model}_{task}_{variant}_{seed}.log",
    benchmark:
        "<benchmarks>/score_run/{model}_{task}_{variant}_{seed}.tsv"
    wildcard_constraints:
        variant=f"{Variant.PATTERN}|{TrainedCut.PATTERN}",
    conda:
        "../envs/strata.yaml"
    params:
        evaluation=EVAL_SAMPLE,
        sampling=sampling(config),
        code=code_of("score_run", "metric", "task_type"),
    message:
        "Score {wildcards.model} on {wildcards.task}: {wildcards.variant}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/score_run.py"
