"""Representations of every depth: eval examples for CKA and UNTUNED, train examples for heads."""


rule dump_eval:
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/eval.parquet",
    output:
        activations=f"{ACTIVATIONS}/eval/{{state}}.h5",
    log:
        "<logs>/dump_eval/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_eval/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
    params:
        split="eval",
        limit=config["evaluation"]["max_eval_examples"],
        dtype="float32",
        max_length=max_length_of,
        sample_seed=config["evaluation"]["seed"],
        poolings=config["evaluation"]["poolings"],
        forward=FORWARD,
        code=code_version("dump_activations"),
    message:
        "Eval activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/dump_activations.py"


use rule dump_eval as dump_train with:
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/train.parquet",
    output:
        activations=temp(f"{ACTIVATIONS}/train/{{state}}.h5"),
    log:
        "<logs>/dump_train/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_train/{model}_{task}_{state}.tsv"
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        disk_mb=train_disk_mb,
    params:
        split="train",
        limit=config["evaluation"]["max_train_examples"],
        dtype="float16",
        max_length=max_length_of,
        sample_seed=config["evaluation"]["seed"],
        poolings=["cls"],
        forward=FORWARD,
        code=code_version("dump_activations"),
    message:
        "Train activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
