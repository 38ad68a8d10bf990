"""Early exit: how many layers each example runs, by the confidence of truncation's heads."""


rule measure_exits:
    input:
        untuned=runs(f"{UNTUNED}.parquet"),
        tuned=exit_heads,
        metrics=runs(METRICS),
        task=TASK,
    output:
        table=f"{EXITS}.csv",
    log:
        "<logs>/measure_exits/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_exits/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        sampling=sampling(config),
        code=code_of("measure_exits", "metric", "task_type"),
    message:
        "Early exit of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_exits.py"


rule plot_exits:
    input:
        tables=[f"{EXITS}.csv"],
    output:
        png=report(
            f"{EXITS}.png",
            caption="../report/exits.rst",
            category="Early exit",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{EXITS}.pdf",
    log:
        "<logs>/plot_exits/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_exits/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        code=code_of("plot_exits"),
    message:
        "Early exit of {wildcards.model} on {wildcards.task}: figure"
    script:
        "../workflow_scripts/plot_exits.py"
