"""CKA: two states of a model, or two models, depth by depth."""

CKA_SETTINGS = {key: config["cka"][key] for key in ("choice", "resamples", "memory_mb")}


rule compare_states:
    input:
        y=EVAL_ACTIVATIONS.replace("{state}", "{y_state}"),
        x=EVAL_ACTIVATIONS.replace("{state}", "{x_state}"),
    output:
        table=CKA_OF_STATES,
    log:
        "<logs>/compare_states/{model}_{task}_{y_state}.{x_state}.log",
    benchmark:
        "<benchmarks>/compare_states/{model}_{task}_{y_state}.{x_state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=cka_memory_mb,
    params:
        settings=CKA_SETTINGS,
        code=code_of("compare_states"),
    message:
        "CKA: {wildcards.model} on {wildcards.task}, {wildcards.y_state} with {wildcards.x_state}"
    script:
        "../workflow_scripts/compare_states.py"


rule tabulate_cka:
    input:
        tables=compared_tables,
        metrics=runs(METRICS),
    output:
        table=f"{CKA}.csv",
    log:
        "<logs>/tabulate_cka/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_cka/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        code=code_of("tabulate_cka"),
    message:
        "CKA table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_cka.py"


rule find_blocks:
    input:
        finetuned=EVAL_ACTIVATIONS,
        pretrained=original_activations,
    output:
        table=BLOCKS_OF_STATE,
    log:
        "<logs>/find_blocks/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/find_blocks/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=cka_memory_mb,
    params:
        settings=CKA_SETTINGS,
        code=code_of("find_blocks"),
    message:
        "Blocks: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/find_blocks.py"


rule tabulate_blocks:
    input:
        tables=runs(BLOCKS_OF_STATE),
        metrics=runs(METRICS),
    output:
        table=BLOCKS,
    log:
        "<logs>/tabulate_blocks/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_blocks/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        code=code_of("tabulate_blocks"),
    message:
        "Blocks of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_blocks.py"


rule compare_models:
    input:
        y=EVAL_ACTIVATIONS.replace("{model}", "{y_model}"),
        x=EVAL_ACTIVATIONS.replace("{model}", "{x_model}"),
        y_metrics=metrics_of_state("y_model"),
        x_metrics=metrics_of_state("x_model"),
    output:
        table=CKA_OF_MODELS,
    log:
        "<logs>/compare_models/{task}_{y_model}.{x_model}.{state}.log",
    benchmark:
        "<benchmarks>/compare_models/{task}_{y_model}.{x_model}.{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=cka_memory_mb,
    params:
        settings=CKA_SETTINGS,
        code=code_of("compare_models"),
    message:
        "CKA: {wildcards.y_model} with {wildcards.x_model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/compare_models.py"


rule tabulate_cka_models:
    input:
        tables=tables_of_models,
    output:
        table=f"{CKA_MODELS}.csv",
    log:
        "<logs>/tabulate_cka_models/{task}.log",
    benchmark:
        "<benchmarks>/tabulate_cka_models/{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_of("join_tables"),
    message:
        "CKA table across models on {wildcards.task}"
    script:
        "../workflow_scripts/join_tables.py"
