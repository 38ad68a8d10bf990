"""The checked config, what wildcards may be, and how files of a study are named."""

import json
import sys

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from snakemake.exceptions import WorkflowError

from strata.runtime.code_hash import code_version
from strata.runtime.errors import StrataError
from strata.runtime.locks import forget_dead_locks
from strata.sources.local_files import CACHE, local_hashes
from strata.study.architectures import layer_count
from strata.study.config import check_config
from strata.study.recipes import (
    ablation_settings,
    encoder_facts,
    head_settings,
    reinit_models,
    reinit_settings,
    sampling,
    source_description,
    titles,
    training_settings,
)
from strata.study.variants import Variant

# Kept open: it says that this Snakemake is alive.
ALIVE = forget_dead_locks() if workflow.is_main_process else None

try:
    config.update(check_config(config))
except StrataError as error:
    raise WorkflowError(str(error))

MODELS = config["study"]["models"]
TASKS = config["study"]["tasks"]
SEEDS = config["study"]["seeds"]
ANALYSES = config["study"]["analyses"]
TITLES = titles(config)
STYLE = dict(models=MODELS, tasks=TASKS, seeds=SEEDS, titles=TITLES)
# A rule's params hold what its numbers depend on and no more: these parts, not the whole section.
EVAL_SAMPLE = dict(
    limit=config["evaluation"]["max_eval_examples"], seed=config["evaluation"]["seed"]
)
FORWARD = {key: config["evaluation"][key] for key in ("batch_size", "precision")}
RUN = "<results>/runs/{model}_{task}/{variant}/seed{seed}"
ACTIVATIONS = "<results>/activations/{model}_{task}"
STATE = f"pretrained|{Variant.KEPT}-seed[0-9]+"


wildcard_constraints:
    model="[a-z0-9-]+",
    task="[a-z0-9-]+",
    seed="[0-9]+",
    variant=Variant.PATTERN,
    state=STATE,
    depth="[0-9]+|-auto",


def run_state(seed):
    """The state of a fully fine-tuned run."""
    return f"full-seed{seed}"


def runs(pattern, seeds=SEEDS):
    """A file of every fully fine-tuned run of the study's pair in the wildcards."""
    return expand(pattern, variant="full", seed=seeds, allow_missing=True)


def checkpoint_of_state(wildcards):
    """The model folder whose weights make a state's representations."""
    if wildcards.state == "pretrained":
        return "data/models/{model}"
    variant, _, seed = wildcards.state.rpartition("-seed")
    run = RUN.format(
        model=wildcards.model, task=wildcards.task, variant=variant, seed=seed
    )
    return f"{run}/checkpoint"


def metrics_of_state(wildcards, model=None):
    """metrics.json of a run's state."""
    variant, _, seed = wildcards.state.rpartition("-seed")
    model = model or wildcards.model
    run = RUN.format(model=model, task=wildcards.task, variant=variant, seed=seed)
    return f"{run}/metrics.json"


def registered(kind, name):
    """The entry of a model or task that a target names."""
    if name not in config[kind]:
        raise WorkflowError(
            f"'{name}' is not registered under '{kind}'; registered are {', '.join(config[kind])}."
        )
    return config[kind][name]


def model_source(wildcards):
    return source_description(registered("models", wildcards.model))


def task_source(wildcards):
    return source_description(registered("tasks", wildcards.task))


def fetched_from(description, about, *inside):
    """Hashes of a local source's files: a change fetches again, a source that is gone does not."""
    hashes = local_hashes(description, CACHE)
    is_local = description["source"].startswith("path:")
    if hashes is None and is_local and Path(about).is_file():
        recorded = json.loads(Path(about).read_text())
        for key in inside:
            recorded = recorded[key]
        return recorded.get("files")
    return hashes


def model_files(wildcards):
    about = f"data/models/{wildcards.model}/source.json"
    return fetched_from(model_source(wildcards), about)


def task_files(wildcards):
    about = f"data/tasks/{wildcards.task}/task.json"
    return fetched_from(task_source(wildcards), about, "source")


def explained(function, *arguments):
    """A library call whose errors end the planning with their sentence alone."""
    try:
        return function(*arguments)
    except (StrataError, ValueError) as error:
        raise WorkflowError(str(error))


def training_of(wildcards):
    registered("models", wildcards.model)
    registered("tasks", wildcards.task)
    variant = wildcards.get("variant", "full")
    return training_settings(config, wildcards.model, wildcards.task, variant)


def ablation_of(wildcards):
    """What shapes a variant; layers that the model does not have are refused here, if it is known."""
    variant = explained(Variant.parse, wildcards.variant)
    registered("models", wildcards.model)
    if variant.kind != "full" and (variant.kind, variant.first) != ("lora", None):
        explained(variant.check, *explained(encoder_facts, config, wildcards.model))
    return ablation_settings(config, variant)


def max_length_of(wildcards):
    return training_of(wildcards)["max_length"]


def heads_of(wildcards):
    return head_settings(config, wildcards.task)


def heads_without_converged(wildcards):
    settings = heads_of(wildcards)
    return {key: settings[key] for key in settings if key != "converged"}


def pairs(pattern, models=MODELS):
    """A file of every model and task of the study."""
    return expand(pattern, model=models, task=TASKS)


def compared_states():
    """The state pairs (y, x) of a model and task; the paper's Figures 1, 2, 5 and 6."""
    states = [run_state(seed) for seed in SEEDS]
    found = [("pretrained", "pretrained")]
    for state in states:
        found += [(state, "pretrained"), (state, state)]
    return found + ([(states[0], states[1])] if len(states) > 1 else [])


def model_pairs():
    """Every unordered pair of the study's models, in its order."""
    return [(y, x) for i, y in enumerate(MODELS) for x in MODELS[i + 1 :]]


def train_disk_mb(wildcards, input, limit=config["evaluation"]["max_train_examples"]):
    """Room for train activations in float16, from the model's and the task's own sizes."""
    layers, hidden, rows = 24, 1024, limit or 40000
    if (Path(input.model) / "config.json").is_file() and Path(input.task).is_file():
        model = json.loads((Path(input.model) / "config.json").read_text())
        layers = layer_count(model)
        hidden = model.get("hidden_size", model.get("dim"))
        task = json.loads(Path(input.task).read_text())
        rows = (
            min(limit or task["sizes"]["train"], task["sizes"]["train"])
            * task["choices"]
        )
    return rows * layers * hidden * 2 // 2**20 + 1


def cka_memory_mb(wildcards, attempt):
    """What CKA may use and the rest of its job; more at each attempt."""
    return attempt * (config["cka"]["memory_mb"] + 1000)


def study_targets():
    """What `all` makes: the study's analyses, and the figures whose inputs it has."""
    figures = []
    targets = []
    if "cka" in ANALYSES:
        targets += pairs("<results>/cka/{model}_{task}.png")
        figures += [1, 2, 5]
        figures += [6] if len(SEEDS) > 1 else []
        figures += [7] if len(MODELS) > 1 else []
    if "truncation" in ANALYSES:
        targets += pairs("<results>/truncation/{model}_{task}.png")
        targets += ["<results>/summary.csv"]
        figures += [3]
    if "skipping" in ANALYSES and config["study"]["skipping"]:
        targets += pairs(
            "<results>/skipping/{model}_{task}.png", config["study"]["skipping"]
        )
        figures += [4]
    if "export" in ANALYSES:
        targets += pairs("<results>/export/{model}_{task}/depth-auto")
    targets += reinit_targets() if "reinit" in ANALYSES else []
    targets += variability_targets() if "variability" in ANALYSES else []
    targets += agreement_targets() if "agreement" in ANALYSES else []
    return targets + expand(
        "<results>/figures/figure{number}.png", number=sorted(figures)
    )


def print_summary():
    """The answers in words, at the end of a run, where the study has them."""
    import pandas as pd
    from strata.analysis.summary import summary_text

    summary, findings = (
        Path(config["outdir"]) / f"{n}.csv" for n in ("summary", "agreement")
    )
    if "truncation" in ANALYSES and summary.is_file():
        print(f"\n{summary_text(pd.read_csv(summary))}\n\n(from {summary})")
    asked = {*ANALYSES, *workflow.dag_settings.targets}
    if "agreement" in asked and findings.is_file():
        print("", *pd.read_csv(findings)["finding"], f"\n(from {findings})", sep="\n")
