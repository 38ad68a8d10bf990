"""Representations of every depth: eval examples for CKA and UNTUNED, train examples for heads."""


def train_disk_mb(wildcards, input):
    """Room for train activations in float16, from the model's and the task's own sizes."""
    import json

    layers, hidden, rows = 24, 1024, config["evaluation"]["max_train_examples"] or 40000
    if (Path(input.model) / "config.json").is_file() and Path(input.task).is_file():
        model = json.loads((Path(input.model) / "config.json").read_text())
        layers = model.get("num_hidden_layers", model.get("n_layers"))
        hidden = model.get("hidden_size", model.get("dim"))
        task = json.loads(Path(input.task).read_text())
        rows = min(rows, task["sizes"]["train"]) * task["choices"]
    poolings = len(config["evaluation"]["poolings"])
    return int(rows * (layers + 1) * hidden * 2 * poolings / 2**20) + 1


rule dump_eval:
    message:
        "Eval activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/eval.parquet",
    output:
        activations=f"{ACTIVATIONS}/eval/{{state}}.h5",
    params:
        split="eval",
        limit=config["evaluation"]["max_eval_examples"],
        dtype="float32",
        max_length=max_length_of,
        evaluation=lookup(within=config, dpath="evaluation"),
        code=code_version("dump_activations"),
    threads: 4
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        mem_mb=8000,
        runtime=120,
    log:
        "<logs>/dump_eval/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_eval/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    script:
        "../workflow_scripts/dump_activations.py"


use rule dump_eval as dump_train with:
    message:
        "Train activations: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    input:
        model="data/models/{model}",
        checkpoint=checkpoint_of_state,
        task="data/tasks/{task}/task.json",
        examples="data/tasks/{task}/train.parquet",
    output:
        activations=temp(f"{ACTIVATIONS}/train/{{state}}.h5"),
    params:
        split="train",
        limit=config["evaluation"]["max_train_examples"],
        dtype="float16",
        max_length=max_length_of,
        evaluation=lookup(within=config, dpath="evaluation"),
        code=code_version("dump_activations"),
    resources:
        gpu=1,
        jobs_per_device=config["gpus"]["jobs_per_device"],
        mem_mb=8000,
        disk_mb=train_disk_mb,
        runtime=120,
    log:
        "<logs>/dump_train/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/dump_train/{model}_{task}_{state}.tsv"
