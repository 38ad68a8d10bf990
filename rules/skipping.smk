"""Skipping: every contiguous span of layers left out."""


rule skip_spans:
    input:
        model=tokenizer_of_state,
        checkpoint=checkpoint_of_state,
        task=TASK,
        examples=EVAL_EXAMPLES,
    output:
        table=SKIPPING_OF_STATE,
        predictions=SKIPPED,
    log:
        "<logs>/skip_spans/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/skip_spans/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        max_length=max_length_of,
        sample=EVAL_SAMPLE,
        forward=FORWARD,
        code=code_of("skip_spans", "architecture", "head_style", "task_type", "metric"),
    message:
        "Skip spans: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/skip_spans.py"


rule tabulate_skipping:
    input:
        tables=runs(SKIPPING_OF_STATE),
        predictions=runs(SKIPPED),
        metrics=runs(METRICS),
    output:
        table=f"{SKIPPING}.csv",
    log:
        "<logs>/tabulate_skipping/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_skipping/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        sampling=sampling(config),
        code=code_of("tabulate_skipping", "metric"),
    message:
        "Skipping table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_skipping.py"
