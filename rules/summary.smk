"""The answer: how far each model can be cut on each task."""


rule summarise:
    input:
        untuned=runs(f"{UNTUNED}.parquet"),
        tuned=tuned_runs(f"{TUNED}.parquet"),
        metrics=runs(METRICS),
        checkpoint=runs(CHECKPOINT, first=1),
    output:
        table=SUMMARY_OF_PAIR,
        verdicts=VERDICTS,
    log:
        "<logs>/summarise/{model}_{task}.log",
    benchmark:
        "<benchmarks>/summarise/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        settings=config["summary"] | sampling(config),
        code=code_of("summarise", "architecture", "metric"),
    message:
        "How far {wildcards.model} can be cut on {wildcards.task}"
    script:
        "../workflow_scripts/summarise.py"


rule tabulate_summary:
    input:
        tables=pairs(SUMMARY_OF_PAIR)
        + pairs(f"{FRONTIER_OF_PAIR}/summary.csv")
        * ("frontier" in config["study"]["analyses"]),
    output:
        table=report(
            f"{SUMMARY}.csv",
            caption="../report/summary.rst",
            category="The answer",
        ),
    log:
        "<logs>/tabulate_summary.log",
    benchmark:
        "<benchmarks>/tabulate_summary.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_of("join_tables"),
    message:
        "Summary of the study"
    script:
        "../workflow_scripts/join_tables.py"
