"""Models and tasks, brought into data/: the only rules that use the network."""


rule fetch_model:
    output:
        folder=directory(MODEL),
    log:
        "<logs>/fetch_model/{model}.log",
    benchmark:
        "<benchmarks>/fetch_model/{model}.tsv"
    localrule: True
    conda:
        "../envs/strata.yaml"
    params:
        description=model_source,
        files=model_files,
        code=code_of("fetch_model"),
    message:
        "Fetch model {wildcards.model}"
    script:
        "../workflow_scripts/fetch_model.py"


use rule fetch_model as fetch_given with:
    output:
        folder=directory(GIVEN),
    log:
        "<logs>/fetch_given/{model}_{number}.log",
    benchmark:
        "<benchmarks>/fetch_given/{model}_{number}.tsv"
    localrule: True
    params:
        description=given_source,
        files=given_files,
        needs_tokenizer=False,  # the encoder's may be used instead, see check_given
        code=code_of("fetch_model"),
    message:
        "Fetch checkpoint {wildcards.number} of {wildcards.model}"


rule fetch_task:
    output:
        train=TRAIN_EXAMPLES,
        eval=EVAL_EXAMPLES,
        task=TASK,
    log:
        "<logs>/fetch_task/{task}.log",
    benchmark:
        "<benchmarks>/fetch_task/{task}.tsv"
    localrule: True
    conda:
        "../envs/strata.yaml"
    params:
        description=task_source,
        files=task_files,
        code=code_of("fetch_task", "task_type"),
    message:
        "Fetch task {wildcards.task}"
    script:
        "../workflow_scripts/fetch_task.py"
