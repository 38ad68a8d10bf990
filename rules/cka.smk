"""CKA: two states of a model, or two models, depth by depth."""


rule compare_states:
    input:
        y=f"{ACTIVATIONS}/eval/{{y_state}}.h5",
        x=f"{ACTIVATIONS}/eval/{{x_state}}.h5",
    output:
        table="<results>/cka/{model}_{task}/{y_state}.{x_state}.csv",
    log:
        "<logs>/compare_states/{model}_{task}_{y_state}.{x_state}.log",
    benchmark:
        "<benchmarks>/compare_states/{model}_{task}_{y_state}.{x_state}.tsv"
    wildcard_constraints:
        y_state=STATE,
        x_state=STATE,
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=cka_memory_mb,
    params:
        memory_mb=config["cka"]["memory_mb"],
        choice=config["cka"]["choice"],
        code=code_version("compare_states"),
    message:
        "CKA: {wildcards.model} on {wildcards.task}, {wildcards.y_state} with {wildcards.x_state}"
    script:
        "../workflow_scripts/compare_states.py"


rule cka:
    input:
        tables=[
            f"<results>/cka/{{model}}_{{task}}/{y}.{x}.csv"
            for y, x in compared_states()
        ],
        metrics=runs(f"{RUN}/metrics.json"),
    output:
        table="<results>/cka/{model}_{task}.csv",
    log:
        "<logs>/cka/{model}_{task}.log",
    benchmark:
        "<benchmarks>/cka/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=SEEDS,
        code=code_version("cka"),
    message:
        "CKA table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/cka.py"


rule compare_models:
    input:
        y="<results>/activations/{y_model}_{task}/eval/{state}.h5",
        x="<results>/activations/{x_model}_{task}/eval/{state}.h5",
        y_metrics=lambda w: metrics_of_state(w, model=w.y_model),
        x_metrics=lambda w: metrics_of_state(w, model=w.x_model),
    output:
        table="<results>/cka-models/{task}/{y_model}.{x_model}.{state}.csv",
    log:
        "<logs>/compare_models/{task}_{y_model}.{x_model}.{state}.log",
    benchmark:
        "<benchmarks>/compare_models/{task}_{y_model}.{x_model}.{state}.tsv"
    wildcard_constraints:
        y_model="[a-z0-9-]+",
        x_model="[a-z0-9-]+",
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=cka_memory_mb,
    params:
        memory_mb=config["cka"]["memory_mb"],
        choice=config["cka"]["choice"],
        code=code_version("compare_models"),
    message:
        "CKA: {wildcards.y_model} with {wildcards.x_model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/compare_models.py"


rule cka_models:
    input:
        tables=[
            f"<results>/cka-models/{{task}}/{y}.{x}.{run_state(seed)}.csv"
            for y, x in model_pairs()
            for seed in SEEDS
        ],
    output:
        table="<results>/cka-models/{task}.csv",
    log:
        "<logs>/cka_models/{task}.log",
    benchmark:
        "<benchmarks>/cka_models/{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_version("join_tables"),
    message:
        "CKA table across models on {wildcards.task}"
    script:
        "../workflow_scripts/join_tables.py"
