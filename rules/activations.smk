"""Representations of every depth: eval examples for CKA and UNTUNED, train examples for heads."""


rule dump_eval:
    input:
        model=tokenizer_of_state,
        checkpoint=checkpoint_of_state,
        task=TASK,
        examples=EVAL_EXAMPLES,
    output:
        activations=EVAL_ACTIVATIONS,
    log:
        "<logs>/dump_eval/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_eval/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
    params:
        split="eval",
        limit=config["evaluation"]["max_eval_examples"],
        dtype="float32",
        max_length=max_length_of,
        sample_seed=config["evaluation"]["seed"],
        poolings=["head", *config["evaluation"]["poolings"]],
        forward=FORWARD,
        code=code_of("dump_activations", "architecture", "task_type"),
    message:
        "Eval activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/dump_activations.py"


use rule dump_eval as dump_train with:
    input:
        model=tokenizer_of_state,
        checkpoint=checkpoint_of_state,
        task=TASK,
        examples=TRAINED_ON,
    output:
        activations=temp(TRAIN_ACTIVATIONS),
    log:
        "<logs>/dump_train/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_train/{model}_{task}_{state}.tsv"
    resources:
        gpu=1,
        jobs_per_device=JOBS_PER_DEVICE,
        disk_mb=train_disk_mb,
    params:
        split="train",
        limit=config["evaluation"]["max_train_examples"],
        dtype="float16",
        max_length=max_length_of,
        sample_seed=config["evaluation"]["seed"],
        poolings=["head"],
        forward=FORWARD,
        code=code_of("dump_activations", "architecture", "task_type"),
    message:
        "Train activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
