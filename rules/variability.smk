"""Hidden-state variability and the layers it selects (Xie et al. 2022)."""


localrules:
    variability,


rule variability:
    input:
        variability_targets(),


use rule dump_eval as dump_means with:
    input:
        model="data/models/{model}",
        checkpoint="data/models/{model}",
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/train.parquet",
    output:
        activations=temp(f"{ACTIVATIONS}/train-means/{{state}}.h5"),
    log:
        "<logs>/dump_means/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_means/{model}_{task}_{state}.tsv"
    wildcard_constraints:
        state="pretrained",
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        mem_mb=8000,
        disk_mb=means_disk_mb,
        runtime=120,
    params:
        split="train",
        limit=SELECTION["max_examples"],
        dtype="float32",
        max_length=max_length_of,
        sample_seed=config["evaluation"]["seed"],
        poolings=["mean"],
        forward=FORWARD,
        code=code_version("dump_activations"),
    message:
        "Mean-pooled train activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"


checkpoint measure_variability:
    input:
        activations=f"{ACTIVATIONS}/train-means/pretrained.h5",
        task="data/tasks/{task}/task.json",
    output:
        table=f"{VARIABILITY}/nu.csv",
    log:
        "<logs>/measure_variability/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_variability/{model}_{task}.tsv"
    # Before any other dump of train activations, which this one's end deletes.
    priority: 10
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        bins=SELECTION["bins"],
        resamples=SELECTION["resamples"],
        confidence=config["summary"]["confidence"],
        # The activations are temporary: once they are gone, only this tells that they would be others.
        measured_on=[SELECTION["max_examples"], config["evaluation"]["seed"]],
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
