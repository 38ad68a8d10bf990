"""ONNX, in float32 and int8: exported folders, and the frontier's candidates."""

# If the study sets no formats, a folder that is requested directly gets all of them.
FORMATS = config["export"]["onnx"] or ["fp32", "int8"]


rule export_onnx:
    input:
        folder=EXPORTED,
        task=TASK,
        examples=lambda w: (
            EVAL_EXAMPLES if w.exported.startswith("depth") else JUDGING_EXAMPLES
        ),
        checkpoints=lambda w: (
            runs(CHECKPOINT)(w) if given.is_given(config, w.model) else []
        ),
    output:
        folder=directory(EXPORTED_ONNX),
    log:
        "<logs>/export_onnx/{model}_{task}_{exported}.log",
    benchmark:
        "<benchmarks>/export_onnx/{model}_{task}_{exported}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    params:
        formats=FORMATS,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        sampling=sampling(config),
        rounds=config["frontier"]["rounds"],
        title=lambda w: TITLES.get(w.model),
        code=code_of("export_onnx", "architecture", "metric", "task_type"),
    message:
        "Export {wildcards.model} on {wildcards.task}, {wildcards.exported}, as ONNX"
    script:
        "../workflow_scripts/export_onnx.py"


# Alone on the machine: other jobs would change the times.
rule measure_onnx:
    input:
        checkpoints=cut_runs(CHECKPOINT),
        sets=cut_runs(f"{SETS}.sets.csv"),
        answers=cut_runs(f"{SETS}.parquet"),
        heads=cut_runs(f"{SETS}.safetensors"),
        metrics=cut_runs(METRICS),
        task=TASK,
        examples=JUDGING_EXAMPLES,
    output:
        answers=f"{FRONTIER_OF_PAIR}/onnx.parquet",
        costs=f"{FRONTIER_OF_PAIR}/onnx.costs.csv",
    log:
        "<logs>/measure_onnx/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_onnx/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: lambda w: workflow.cores
    params:
        formats=FORMATS,
        sizes=config["export"]["sizes"],
        seeds=cut_seeds_of,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        rounds=config["frontier"]["rounds"],
        style=exported_style_of,
        code=code_of(
            "measure_onnx", "architecture", "head_style", "metric", "task_type"
        ),
    message:
        "Candidates as ONNX: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_onnx.py"


rule tabulate_onnx:
    input:
        measured=f"{FRONTIER_OF_PAIR}/onnx.parquet",
        costs=f"{FRONTIER_OF_PAIR}/onnx.costs.csv",
        sets=cut_runs(f"{SETS}.sets.csv"),
        answers=cut_runs(f"{SETS}.parquet"),
        metrics=cut_runs(METRICS),
        task=TASK,
    output:
        table=f"{FRONTIER_ONNX}.csv",
    log:
        "<logs>/tabulate_onnx/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_onnx/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=cut_seeds_of,
        settings=config["summary"] | sampling(config),
        code=code_of("tabulate_onnx", "metric", "task_type"),
    message:
        "Frontier of {wildcards.model} on {wildcards.task}, as ONNX"
    script:
        "../workflow_scripts/tabulate_onnx.py"


rule plot_onnx:
    input:
        tables=[f"{FRONTIER_ONNX}.csv"],
    output:
        png=report(
            f"{FRONTIER_ONNX}.png",
            caption="../report/onnx.rst",
            category="Frontier",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{FRONTIER_ONNX}.pdf",
    log:
        "<logs>/plot_onnx/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_onnx/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        tolerance=config["summary"]["tolerance"],
        code=code_of("plot_onnx"),
    message:
        "Frontier of {wildcards.model} on {wildcards.task}, as ONNX: figure"
    script:
        "../workflow_scripts/plot_onnx.py"
