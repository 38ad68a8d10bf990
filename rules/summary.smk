"""The answer: how far each model can be cut on each task."""


rule summarise:
    input:
        truncation="<results>/truncation/{model}_{task}.csv",
        untuned=runs(f"{TRUNCATION}/untuned-{{variant}}-seed{{seed}}.parquet"),
        tuned=runs(f"{TRUNCATION}/tuned-{{variant}}-seed{{seed}}.parquet"),
        metrics=runs(f"{RUN}/metrics.json"),
        checkpoint=runs(f"{RUN}/checkpoint", SEEDS[:1]),
    output:
        table="<results>/summary/{model}_{task}.csv",
    log:
        "<logs>/summarise/{model}_{task}.log",
    benchmark:
        "<benchmarks>/summarise/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=SEEDS,
        settings=config["summary"],
        code=code_version("summarise"),
    message:
        "How far {wildcards.model} can be cut on {wildcards.task}"
    script:
        "../workflow_scripts/summarise.py"


rule summary:
    input:
        tables=pairs("<results>/summary/{model}_{task}.csv"),
    output:
        table=report(
            "<results>/summary.csv",
            caption="../report/summary.rst",
            category="The answer",
        ),
    log:
        "<logs>/summary.log",
    benchmark:
        "<benchmarks>/summary.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_version("join_tables"),
    message:
        "Summary of the study"
    script:
        "../workflow_scripts/join_tables.py"
