"""The smaller model: cut to a depth, with the head tuned there."""


rule export:
    input:
        model="data/models/{model}",
        checkpoints=runs(f"{RUN}/checkpoint"),
        metrics=runs(f"{RUN}/metrics.json"),
        heads=runs(f"{TRUNCATION}/tuned-{{variant}}-seed{{seed}}.safetensors"),
        summary="<results>/summary/{model}_{task}.csv",
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/eval.parquet",
    output:
        folder=directory("<results>/export/{model}_{task}/depth{depth}"),
    log:
        "<logs>/export/{model}_{task}_depth{depth}.log",
    benchmark:
        "<benchmarks>/export/{model}_{task}_depth{depth}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        seeds=SEEDS,
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        forward=FORWARD,
        sampling=sampling(config),
        title=lambda w: TITLES.get(w.model),
        code=code_version("export"),
    message:
        "Export {wildcards.model} on {wildcards.task}, depth{wildcards.depth}"
    script:
        "../workflow_scripts/export.py"
