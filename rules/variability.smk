"""Hidden-state variability and the layers it selects (Xie et al. 2022)."""


localrules:
    variability,


rule variability:
    input:
        variability_targets(),


# Its activations are its own and gone with it. While a checkpoint waits, Snakemake deletes no
# temporary file of the whole study: so this comes before every dump of train activations.
checkpoint measure_variability:
    input:
        model="data/models/{model}",
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/train.parquet",
    output:
        table=f"{VARIABILITY}/nu.csv",
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
        jobs_per_device=config["gpus"]["jobs_per_device"],
        disk_mb=means_disk_mb,
    params:
        max_length=max_length_of,
        settings={
            key: config["variability"][key]
            for key in ("max_examples", "bins", "resamples")
        },
        sample_seed=config["evaluation"]["seed"],
        confidence=config["summary"]["confidence"],
        forward=FORWARD,
        code=code_version("measure_variability"),
    message:
        "Variability of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_variability.py"


rule compare_selection:
    input:
        nu=f"{VARIABILITY}/nu.csv",
        predictions=selection_files("predictions.parquet"),
        about=selection_files("run.json"),
        examples="data/tasks/{task}/eval.parquet",
        task="data/tasks/{task}/task.json",
    output:
        table=f"{VARIABILITY}.csv",
    log:
        "<logs>/compare_selection/{model}_{task}.log",
    benchmark:
        "<benchmarks>/compare_selection/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        plan=selection_plan,
        seeds=SEEDS,
        evaluation=EVAL_SAMPLE,
        sampling=sampling(config),
        code=code_version("compare_selection"),
    message:
        "Layer selection for {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/compare_selection.py"


rule plot_variability:
    input:
        nu=f"{VARIABILITY}/nu.csv",
        table=f"{VARIABILITY}.csv",
    output:
        png=report(
            f"{VARIABILITY}.png",
            caption="../report/variability.rst",
            category="Hidden-state variability",
            labels={"model": "{model}", "task": "{task}"},
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
        code=code_version("plot_variability"),
    message:
        "Variability figure of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_variability.py"
