"""Hidden-state variability and the layers it selects (Xie et al. 2022)."""


# Its activations are its own and are deleted with it. While a checkpoint waits, Snakemake deletes
# no temporary file of the whole study, so this runs before every dump of train activations.
checkpoint measure_variability:
    input:
        model=MODEL,
        task=TASK,
        examples=TRAIN_EXAMPLES,
    output:
        table=NU,
        finding=NU_FINDING,
        cost=NU_COST,
        robustness=f"{ROBUSTNESS}.csv",
    log:
        "<logs>/measure_variability/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_variability/{model}_{task}.tsv"
    priority: 20
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
        disk_mb=means_disk_mb,
    params:
        max_length=max_length_of,
        settings={
            key: config["variability"][key]
            for key in (
                "max_examples",
                "kept_examples",
                "bins",
                "resamples",
                "robustness",
            )
        },
        sample_seed=config["evaluation"]["seed"],
        confidence=config["summary"]["confidence"],
        forward=FORWARD,
        code=code_of("measure_variability", "architecture", "task_type"),
    message:
        "Variability of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_variability.py"


rule compare_selection:
    input:
        nu=NU,
        predictions=selection_files(PREDICTIONS),
        about=selection_files(RECORD),
        examples=EVAL_EXAMPLES,
        task=TASK,
    output:
        table=f"{VARIABILITY}.csv",
        paired=SELECTED_LESS_LAST,
    log:
        "<logs>/compare_selection/{model}_{task}.log",
    benchmark:
        "<benchmarks>/compare_selection/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        plan=selection_plan,
        seeds=seeds_of,
        evaluation=EVAL_SAMPLE,
        sampling=sampling(config),
        code=code_of("compare_selection", "metric", "task_type"),
    message:
        "Layer selection for {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/compare_selection.py"


rule plot_variability:
    input:
        nu=NU,
        finding=NU_FINDING,
        table=f"{VARIABILITY}.csv",
        paired=SELECTED_LESS_LAST,
    output:
        png=report(
            f"{VARIABILITY}.png",
            caption="../report/variability.rst",
            category="Hidden-state variability",
            labels={"model": "{model}", "task": "{task}", "shown": "variability"},
        ),
        pdf=f"{VARIABILITY}.pdf",
    log:
        "<logs>/plot_variability/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_variability/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_of("plot_variability"),
    message:
        "Variability figure of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_variability.py"


rule plot_robustness:
    input:
        table=f"{ROBUSTNESS}.csv",
    output:
        png=report(
            f"{ROBUSTNESS}.png",
            caption="../report/robustness.rst",
            category="Hidden-state variability",
            labels={"model": "{model}", "task": "{task}", "shown": "robustness"},
        ),
        pdf=f"{ROBUSTNESS}.pdf",
    log:
        "<logs>/plot_robustness/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_robustness/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_of("plot_robustness"),
    message:
        "Robustness of the selected depth, {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_robustness.py"
