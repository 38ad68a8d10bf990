"""How confident cut models are, and which predictions a cut changes, from truncation."""


rule calibrate:
    input:
        untuned=runs(f"{UNTUNED}.parquet"),
        tuned=tuned_runs(f"{TUNED}.parquet"),
        orig=fresh_runs(f"{TUNED_ORIG}.parquet"),
        metrics=runs(METRICS),
        task=TASK,
    output:
        table=f"{CALIBRATION}.csv",
    log:
        "<logs>/calibrate/{model}_{task}.log",
    benchmark:
        "<benchmarks>/calibrate/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        code=code_of("calibrate", "task_type"),
    message:
        "Calibration and changed predictions of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/calibrate.py"


rule plot_calibration:
    input:
        table=f"{CALIBRATION}.csv",
    output:
        png=report(
            f"{CALIBRATION}.png",
            caption="../report/calibration.rst",
            category="Calibration by model and task",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{CALIBRATION}.pdf",
    log:
        "<logs>/plot_calibration/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_calibration/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_of("plot_calibration"),
    message:
        "Calibration curves of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_calibration.py"
