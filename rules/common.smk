"""The checked config, and what rules need from it."""

import json

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from strata.runtime.code_hash import code_version
from strata.runtime.errors import StrataError
from strata.sources.local_files import CACHE, hashes_or_recorded
from strata.study import disk, given, plans
from strata.study.architectures import ADAPTED
from strata.study.config import check_config
from strata.study.layer_sets import CutModel
from strata.study.recipes import (
    ablation_settings,
    architecture_of,
    cut_training_settings,
    cut_ways,
    encoder_facts,
    exported_style,
    head_settings,
    head_style,
    layers_of,
    sampling,
    source_description,
    titles,
    training_settings,
    withheld_share,
)


def with_defaults(study):
    """A module's config on top of config.yaml, as `configfile:` has it, which modules go without."""
    defaults = Path(workflow.current_basedir).parent / "config.yaml"
    whole = yaml.safe_load(defaults.read_text(encoding="utf-8"))
    update_config(whole, study)
    return whole


try:
    config.update(check_config(with_defaults(config) if IS_MODULE else config))
except StrataError as error:
    raise WorkflowError(str(error))

MODELS = config["study"]["models"]
TASKS = config["study"]["tasks"]
SEEDS = sorted({seed for model in MODELS for seed in given.seeds_of(config, model)})
TITLES = titles(config)
STYLE = dict(models=MODELS, tasks=TASKS, seeds=SEEDS, titles=TITLES)
# A rule's params contain only what its numbers depend on: these parts, not the whole section. They
# are plain dicts, lists, numbers and text: a change in params of any other type would silently
# rerun nothing (Snakemake 9.27).
EVAL_SAMPLE = dict(
    limit=config["evaluation"]["max_eval_examples"], seed=config["evaluation"]["seed"]
)
# Which examples decide what: withheld train examples choose layers and eval judges; or halves of
# eval do both.
WITHHELD_SHARE = withheld_share(config)
TRAINED_ON = KEPT_TRAIN if WITHHELD_SHARE else TRAIN_EXAMPLES
CHOOSING_EXAMPLES = WITHHELD if WITHHELD_SHARE else CHOOSING_HALF
JUDGING_EXAMPLES = EVAL_EXAMPLES if WITHHELD_SHARE else JUDGING_HALF
TRAIN_SAMPLE = EVAL_SAMPLE | {"limit": config["evaluation"]["max_train_examples"]}
CHOOSING_SAMPLE = EVAL_SAMPLE | {"limit": config["frontier"]["max_choose_examples"]}
FORWARD = {key: config["evaluation"][key] for key in ("batch_size", "precision")}
CUT_TRAINING = config["frontier"]["training"]
KEEP_CUT = CUT_TRAINING["keep_checkpoints"]
JOBS_PER_DEVICE = config["gpus"]["jobs_per_device"]


# Printed once, when the study is planned.
if workflow.is_main_process:
    for line in given.left_out(config):
        print(line, file=sys.stderr)


def explained(function, *arguments):
    """Call the library; an error ends the planning with only its sentence."""
    try:
        return function(*arguments)
    except (StrataError, ValueError) as error:
        raise WorkflowError(str(error))


def registered(kind, name):
    """The entry of a model or task named by a target."""
    if name not in config[kind]:
        raise WorkflowError(
            f"'{name}' is not registered under '{kind}'; registered are {', '.join(config[kind])}."
        )
    return config[kind][name]


def model_type_of(wildcards):
    registered("models", wildcards.model)
    return explained(architecture_of, config, wildcards.model)


# The row that a job uses of each registry of the library, by its wildcards.
ROWS = {
    "adapted": model_type_of,
    "architecture": model_type_of,
    "head_style": lambda w: style_of(w),
    "task_type": lambda w: registered("tasks", w.task)["type"],
    "metric": lambda w: registered("tasks", w.task)["metric"],
}


def code_of(script, *registries):
    """Param `code`: the hash of what a script reaches and of the registry rows that a job uses."""

    def code(wildcards):
        return code_version(
            script, **{name: ROWS[name](wildcards) for name in registries}
        )

    return code if registries else code_version(script)


def model_source(wildcards):
    """Where a pretrained encoder is."""
    registered("models", wildcards.model)
    entry = given.encoder_entry(config, wildcards.model)
    if entry is None:
        raise WorkflowError(
            f"models.{wildcards.model} has no 'pretrained', which this needs: register the encoder "
            "that its checkpoints were made from."
        )
    return source_description(entry)


def given_source(wildcards):
    """Where a checkpoint is."""
    registered("models", wildcards.model)
    count = len(given.seeds_of(config, wildcards.model))
    number = int(wildcards.number)
    if not given.is_given(config, wildcards.model) or number > count:
        raise WorkflowError(f"models.{wildcards.model} has no checkpoint {number}.")
    return given.checkpoint_entry(config, wildcards.model, number)


def given_files(wildcards):
    """Hashes of a local checkpoint's files, see ``model_files``."""
    about = f"{GIVEN}/source.json".format(**wildcards)
    return hashes_or_recorded(given_source(wildcards), CACHE, about, ["files"])


def task_source(wildcards):
    return source_description(registered("tasks", wildcards.task))


def model_files(wildcards):
    """Hashes of a local model's files: a changed file is fetched again, a missing source is not."""
    about = f"{MODEL}/source.json".format(model=wildcards.model)
    return hashes_or_recorded(model_source(wildcards), CACHE, about, ["files"])


def task_files(wildcards):
    """Hashes of a local task's files, see ``model_files``."""
    about = TASK.format(task=wildcards.task)
    return hashes_or_recorded(task_source(wildcards), CACHE, about, ["source", "files"])


def training_of(wildcards):
    registered("models", wildcards.model)
    registered("tasks", wildcards.task)
    variant = wildcards.get("variant", "full")
    return training_settings(config, wildcards.model, wildcards.task, variant)


def training_of_cut(wildcards):
    """The recipe of a model that is trained after its cut; an impossible cut is refused here."""
    cut = trained_cut(wildcards, wildcards.variant)
    return cut_training_settings(config, wildcards.model, wildcards.task, cut)


def trained_cut(wildcards, name):
    """A model that is trained after its cut, from its name."""
    registered("models", wildcards.model)
    registered("tasks", wildcards.task)
    cut = explained(TrainedCut.parse, name)
    layers = explained(layers_of, config, wildcards.model)
    if layers is not None:  # otherwise the job checks it
        explained(layers.check, cut.kept)
    if cut.way not in cut_ways(config, wildcards.model):
        raise WorkflowError(
            f"{name}: models.{wildcards.model} has no 'pretrained' to cut before it is trained."
        )
    if not has_train(wildcards):
        raise WorkflowError(
            f"{name}: tasks.{wildcards.task} has no 'splits.train' to train on."
        )
    return cut


def ablation_of(wildcards):
    """What shapes a variant; layers that the model does not have are refused here, if known."""
    variant = explained(Variant.parse, wildcards.variant)
    registered("models", wildcards.model)
    if not variant.fits_any_model:
        explained(variant.check, *explained(encoder_facts, config, wildcards.model))
    return ablation_settings(config, variant)


def max_length_of(wildcards):
    return training_of(wildcards)["max_length"]


def heads_of(wildcards):
    return head_settings(config, wildcards.task)


def style_of(wildcards):
    registered("models", wildcards.model)
    registered("tasks", wildcards.task)
    return head_style(config, wildcards.task, wildcards.model)


def exported_style_of(wildcards):
    """The style of heads; a style that no plain Transformers class can hold is refused here."""
    registered("models", wildcards.model)
    registered("tasks", wildcards.task)
    return explained(exported_style, config, wildcards.model, wildcards.task)


def pairs(pattern, models=MODELS, tasks=TASKS):
    """One file for every model and task of the study."""
    return expand(pattern, model=models, task=tasks)


def seeds_of(wildcards):
    """The seeds of a model's runs."""
    registered("models", wildcards.model)
    return given.seeds_of(config, wildcards.model)


def has_pretrained(wildcards):
    """Whether the pretrained encoder that a model's runs started from is available."""
    registered("models", wildcards.model)
    return given.has_pretrained(config, wildcards.model)


def has_train(wildcards):
    registered("tasks", wildcards.task)
    return given.has_train(config, wildcards.task)


def cut_seeds_of(wildcards):
    """The seeds of a model's runs whose layers are chosen."""
    registered("models", wildcards.model)
    return given.cut_seeds(config, wildcards.model)


def runs(pattern, first=None, seeds_of=seeds_of):
    """Input function: a file of every fully fine-tuned run of a pair, or of the first `first`."""
    pattern = pattern.replace("{state}", State.FORM)

    def files(wildcards):
        pair = {"model": wildcards.model, "task": wildcards.task}
        return expand(pattern, variant="full", seed=seeds_of(wildcards)[:first], **pair)

    return files


def tuned_runs(pattern):
    """The same for tuned heads: none without a train split."""
    return lambda w: runs(pattern)(w) if has_train(w) else []


def fresh_runs(pattern):
    """The same for heads on the pretrained encoder: none without it, or without a train split."""
    return lambda w: tuned_runs(pattern)(w) if has_pretrained(w) else []


def states_of(wildcards):
    """The pretrained encoder, if there is one, and a model's runs."""
    original = [PRETRAINED] * has_pretrained(wildcards)
    return original + [State.of_seed(seed) for seed in seeds_of(wildcards)]


def tokenizer_of_state(wildcards):
    """The model folder with a state's tokenizer and provenance."""
    registered("models", wildcards.model)
    if given.is_given(config, wildcards.model):
        return checkpoint_of_state(wildcards)
    return MODEL


def tokenizer_of_model(wildcards):
    """The model folder whose tokenizer all runs of a model share."""
    registered("models", wildcards.model)
    if given.is_given(config, wildcards.model):
        pair = {"model": wildcards.model, "task": wildcards.task}
        return CHECKPOINT.format(**pair, variant=Variant.KEPT, seed=1)
    return MODEL


def model_of_run(wildcards):
    """The encoder's folder, which says where it came from; none for a given model."""
    registered("models", wildcards.model)
    return [] if given.is_given(config, wildcards.model) else MODEL


def encoder_if_any(wildcards):
    """The pretrained encoder's folder; none for a given model that is registered without it."""
    return MODEL if has_pretrained(wildcards) else []


def named_layers(wildcards):
    """Param: the name of a cut model; an impossible cut is refused here."""
    registered("models", wildcards.model)
    if wildcards.cut.endswith("_head") and not has_train(wildcards):
        raise WorkflowError(
            f"{wildcards.cut}: tasks.{wildcards.task} has no 'splits.train' to tune a head on; leave "
            "out '_head'."
        )
    if not wildcards.cut.startswith("layers-auto"):
        kept = explained(CutModel.parse, wildcards.cut).kept
        layers = explained(layers_of, config, wildcards.model)
        if layers is not None:  # otherwise the job checks it
            explained(layers.check, kept)
    return wildcards.cut


def trained_layers(wildcards):
    """Param: the name of a model trained after its cut; an impossible cut is refused here."""
    if wildcards.trained != "layers-auto_trained":
        trained_cut(wildcards, wildcards.trained)
    elif not is_trained_cut(wildcards.task):
        raise WorkflowError(
            "layers-auto_trained: no model is trained after the cut; set frontier.training.sizes "
            "(its 'tasks' must have this one, which must have 'splits.train')."
        )
    return wildcards.trained


def of_state(pattern, state, **wildcards):
    """A file of a state's run."""
    state = State.parse(state)
    return pattern.format(variant=state.variant, seed=state.seed, **wildcards)


def model_to_cut(wildcards):
    """What a trained cut begins with: its weights, tokenizer and provenance."""
    cut = explained(TrainedCut.parse, wildcards.variant)
    if cut.about.from_finetuned and given.is_given(config, wildcards.model):
        return of_run(CHECKPOINT, wildcards)
    return MODEL


def full_run_of_cut(wildcards):
    """The full model's checkpoint, if it is cut or is the teacher."""
    needed = explained(TrainedCut.parse, wildcards.variant).about.needs_full
    return of_run(CHECKPOINT, wildcards) if needed else []


def of_run(pattern, wildcards):
    """A file of the full run of a trained cut."""
    pair = {"model": wildcards.model, "task": wildcards.task}
    return pattern.format(**pair, variant=Variant.KEPT, seed=wildcards.seed)


def checkpoint_of_state(wildcards):
    """The model folder whose weights make a state's representations."""
    if wildcards.state == str(PRETRAINED):
        return MODEL
    return of_state(
        CHECKPOINT, wildcards.state, model=wildcards.model, task=wildcards.task
    )


def metrics_of_state(model):
    """Input function: metrics.json of a state's run, of the model in a wildcard."""
    return lambda w: of_state(METRICS, w.state, model=w[model], task=w.task)


def train_disk_mb(wildcards, input):
    limit = config["evaluation"]["max_train_examples"]
    return disk.activations_mb(input.model, input.task, limit)


def means_disk_mb(wildcards, input):
    asked = config["variability"]
    limits = (asked["kept_examples"], asked["max_examples"])
    return disk.mean_activations_mb(input.model, input.task, *limits)


def sets_disk_mb(wildcards, input):
    asked = config["evaluation"]
    limits = [
        ("train", asked["max_train_examples"]),
        ("eval", asked["max_eval_examples"]),
    ]
    if WITHHELD_SHARE:
        limits.append(("train", CHOOSING_SAMPLE["limit"]))
    return disk.set_vectors_mb(input.model, input.task, limits)


def cka_memory_mb(wildcards, attempt):
    """Memory for CKA and the rest of its job; more at each attempt."""
    return attempt * (config["cka"]["memory_mb"] + 1000)
