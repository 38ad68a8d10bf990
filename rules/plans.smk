"""The files that rules need and targets request, from the plans of ``strata.study.plans``."""

import functools
import itertools

ORIGINAL = [model for model in MODELS if given.has_pretrained(config, model)]
TWICE = [model for model in MODELS if len(given.seeds_of(config, model)) > 1]


def training_code(script):
    """Param `code` of a training rule.

    The metric's row counts only if it chooses the checkpoint, the place of adapters only if there
    are some.
    """
    recipe = training_of_cut if script == "train_cut" else training_of

    def code(wildcards):
        rows = ["architecture", "head_style", "task_type"]
        rows += ["metric"] * (recipe(wildcards)["checkpoint"] == "best")
        if script == "ablate":
            adapts = explained(Variant.parse, wildcards.variant).kind == "adapter"
            # For other types the job says that it does not know where adapters go.
            rows += ["adapted"] * (adapts and model_type_of(wildcards) in ADAPTED)
        return code_of(script, *rows)(wildcards)

    return code


def compared_tables(wildcards):
    """CKA of every two states of a pair that are compared."""
    states = plans.compared_states(seeds_of(wildcards), has_pretrained(wildcards))
    return [CKA_OF_STATES.format(**wildcards, y_state=y, x_state=x) for y, x in states]


def original_activations(wildcards):
    """The pretrained encoder's activations, if there is one."""
    path = EVAL_ACTIVATIONS.replace("{state}", str(PRETRAINED))
    return [path] * has_pretrained(wildcards)


def tables_of_models(wildcards):
    """CKA of every two models, for the seeds that both have."""
    return [
        CKA_OF_MODELS.format(
            task=wildcards.task, y_model=y, x_model=x, state=State.of_seed(seed)
        )
        for y, x in itertools.combinations(MODELS, 2)
        for seed in given.shared_seeds(config, y, x)
    ]


def reinit_tables(part):
    """Input function: a part's table for every pair.

    Called only if needed: a study of only the first paper need not know its models'
    layers.
    """

    def tables(wildcards):
        chosen = explained(plans.reinit_pairs, config, part)
        return [REINIT_PART.format(model=m, task=t, part=part) for m, t in chosen]

    return tables


def reinit_runs(wildcards):
    return explained(
        plans.reinit_runs, config, wildcards.model, wildcards.task, wildcards.part
    )


def reinit_files(pattern):
    """Input function: a file of every run of a part, in the plan's order."""
    return lambda w: [
        pattern.format(model=w.model, task=w.task, variant=run.variant, seed=run.seed)
        for run in reinit_runs(w)
    ]


def reinit_places(wildcards):
    """How the table identifies each run: line, place on it, training examples (or all)."""
    runs = reinit_runs(wildcards)
    return [[run.series, run.position, run.variant.size or "all"] for run in runs]


def selection_plan(wildcards):
    """The runs of a pair, once its variability has selected a depth."""
    table = checkpoints.measure_variability.get(**wildcards).output.table
    return explained(plans.selection_runs, config, wildcards.model, table)


def selection_files(pattern):
    """Input function: a file of every run of a pair's comparison, and of each seed."""
    return lambda w: [
        pattern.format(model=w.model, task=w.task, variant=run["variant"], seed=seed)
        for run in selection_plan(w)
        if run["variant"]
        for seed in SEEDS
    ]


def localized_table(wildcards):
    """Partial reinitialisation block by block, for the pairs that have it."""
    pair = (wildcards.model, wildcards.task)
    has = pair in explained(plans.reinit_pairs, config, "localized")
    return (
        [REINIT_PART.format(model=pair[0], task=pair[1], part="localized")]
        if has
        else []
    )


def exit_heads(wildcards):
    """Input function: TUNED of every run of a pair; a task without exits is refused here."""
    registered("tasks", wildcards.task)
    if not given.has_exits(config, wildcards.task):
        raise WorkflowError(
            f"tasks.{wildcards.task} has no early exit, which needs heads at every depth "
            "('splits.train') and predictions with a confidence (so no regression)."
        )
    return runs(f"{TUNED}.parquet")(wildcards)


def cut_runs(pattern, first=None):
    """Input function: a file of every run of a pair whose layers are chosen."""
    return runs(pattern, first, seeds_of=cut_seeds_of)


def is_trained_cut(task):
    """Whether models of a task are trained after their cut."""
    chosen = CUT_TRAINING["tasks"] is None or task in CUT_TRAINING["tasks"]
    return bool(CUT_TRAINING["sizes"]) and chosen and given.has_train(config, task)


def trained_plan(wildcards, seed):
    """The models of a run that are cut and then trained, once its layer sets are chosen."""
    if not is_trained_cut(wildcards.task):
        return []
    if seed not in given.trained_seeds(config, wildcards.model):
        return []
    pair = {"model": wildcards.model, "task": wildcards.task}
    planned = checkpoints.plan_cuts.get(**pair, state=State.of_seed(seed)).output.names
    return Path(planned).read_text(encoding="utf-8").split()


def trained_cuts_of(pattern):
    """Input function: a file of every model of a pair that is cut and then trained."""
    return lambda w: [
        pattern.format(model=w.model, task=w.task, variant=name, seed=seed)
        for seed in cut_seeds_of(w)
        for name in trained_plan(w, seed)
    ]


def exported_runs(wildcards):
    """Input function: the first seed's checkpoint that a target names; otherwise all of a pair."""
    if wildcards.trained == "layers-auto_trained":
        return trained_cuts_of(CHECKPOINT)(wildcards)
    pair = {"model": wildcards.model, "task": wildcards.task}
    first, *_ = given.trained_seeds(config, wildcards.model)
    return [CHECKPOINT.format(**pair, variant=wildcards.trained, seed=first)]


def figures(*numbers):
    return expand(f"{FIGURE}{{number}}.png", number=numbers)


def cka_targets():
    drawn = {
        1: True,
        2: True,
        5: ORIGINAL,
        6: TWICE,
        7: len(MODELS) > 1,
    }
    numbers = [number for number, there in drawn.items() if there]
    return pairs(f"{CKA}.png") + pairs(BLOCKS) + figures(*numbers)


def controls_targets():
    return pairs(f"{CONTROLS}.png")


def truncation_targets():
    curves = pairs(f"{TRUNCATION}.png") + pairs(f"{CALIBRATION}.png")
    return [*curves, f"{SUMMARY}.csv", *figures(3)]


def skipping_targets():
    models = config["study"]["skipping"]
    return pairs(f"{SKIPPING}.png", models) + figures(4) if models else []


def exits_targets():
    tasks = [task for task in TASKS if given.has_exits(config, task)]
    return pairs(f"{EXITS}.png", tasks=tasks)


def frontier_targets():
    figures = pairs(f"{FRONTIER_OF_PAIR}.png")
    # A trained model is exported at once: afterwards its weights are gone.
    for task in filter(is_trained_cut, TASKS):
        figures += pairs(f"{TRAINING}.png", tasks=[task])
        figures += with_onnx(
            expand(
                EXPORTED_TRAINED, model=MODELS, task=task, trained="layers-auto_trained"
            )
        )
    if config["export"]["onnx"]:
        figures += pairs(f"{FRONTIER_ONNX}.png")
    return [*figures, f"{FRONTIER}.csv", f"{FRONTIER}.png", *auto_exports()]


def auto_exports():
    """The smallest certified models, also with a tuned head if there is something to tune on."""
    exported = "export" in config["study"]["analyses"]
    paths = []
    for task in TASKS * exported:
        pair = {"model": MODELS, "task": task}
        cuts = ["layers-auto"] + ["layers-auto_head"] * given.has_train(config, task)
        paths += with_onnx(expand(EXPORTED_LAYERS, **pair, cut=cuts))
    return paths


def with_onnx(folders):
    """Exported folders, and their ONNX folders if the study has them."""
    more = folders if config["export"]["onnx"] else []
    return folders + [f"{folder}.onnx" for folder in more]


def export_targets():
    return with_onnx(
        pairs(
            EXPORT.format(
                model="{model}", task="{task}", depth=f"-{config['study']['export']}"
            )
        )
    )


@functools.cache
def announce_runs():
    """Say once how many runs partial reinitialisation needs, if it was requested."""
    if workflow.is_main_process:
        count = explained(plans.count_reinit_runs, config)
        print(f"Partial reinitialisation needs {count:,} runs.", file=sys.stderr)


def reinit_targets(wildcards=None):
    """Every table of the study, and the figures of the parts that it has."""
    if given.is_given_study(config):
        return []
    announce_runs()
    tables = [table for part in PARTS for table in reinit_tables(part)(wildcards)]
    drawn = explained(plans.drawn_parts, config)
    drawings = expand(f"{REINIT}/{{part}}.png", part=drawn)
    correlated = len(TASKS) > 1 and "permutation" in drawn
    return tables + drawings + [PERMUTATION_CORRELATIONS] * correlated


def variability_targets():
    files = (f"{VARIABILITY}.csv", f"{VARIABILITY}.png", f"{ROBUSTNESS}.png")
    if given.is_given_study(config):
        files = (NU, f"{ROBUSTNESS}.png")
    return [path for pattern in files for path in measured_variability(pattern)]


def measured_variability(pattern):
    """A file of every pair whose hidden-state variability is measured."""
    if given.is_given_study(config):
        return pairs(pattern, ORIGINAL if given.has_train(config, TASKS[0]) else [])
    return pairs(pattern, tasks=config["variability"]["tasks"] or TASKS)


def agreement_targets():
    if given.is_given_study(config):
        return []
    correlations = [f"{METHOD_CORRELATIONS}.{kind}" for kind in ("csv", "png")]
    return [*pairs(f"{AGREEMENT_OF_PAIR}.png"), f"{AGREEMENT}.csv", *correlations]


def claims_targets():
    return [f"{CLAIMS}.csv", f"{CLAIMS}.png"]


def claim_evidence(wildcards):
    """Input function: the evidence for claims about a pair, from the study's analyses only."""
    asked, found = given.analyses_of(config), {}
    if "cka" in asked:
        found |= {"cka": [f"{CKA}.csv"], "blocks": [BLOCKS]}
    if "truncation" in asked:
        found["truncation"] = [f"{TRUNCATION}.csv"]
    pair = {"model": wildcards.model, "task": wildcards.task}
    files = {name: expand(paths, **pair) for name, paths in found.items()}
    if "truncation" in asked:
        files["untuned"] = runs(f"{UNTUNED}.parquet")(wildcards)
        files["tuned"] = tuned_runs(f"{TUNED}.parquet")(wildcards)
        files["tuned-orig"] = fresh_runs(f"{TUNED_ORIG}.parquet")(wildcards)
        if "skipping" in asked and wildcards.model in config["study"]["skipping"]:
            files["skipped"] = runs(SKIPPED)(wildcards)
    files = {name: paths for name, paths in files.items() if paths}
    return files | companion_evidence(wildcards, asked)


def companion_evidence(wildcards, asked):
    """The same for the companion studies: tables, and the predictions of their runs."""
    pair, found, predictions = (wildcards.model, wildcards.task), {}, []
    if "reinit" in asked:
        for part in PARTS:
            if pair in explained(plans.reinit_pairs, config, part):
                found[part] = [
                    REINIT_PART.format(model=pair[0], task=pair[1], part=part)
                ]
                runs = explained(plans.reinit_runs, config, *pair, part)
                predictions += [(run.variant, run.seed) for run in runs]
    if "variability" in asked:
        tables = {
            "selection": f"{VARIABILITY}.csv",
            "robustness": f"{ROBUSTNESS}.csv",
            "nu-cost": NU_COST,
            "nu-finding": NU_FINDING,
        }
        found |= {
            name: expand(path, model=pair[0], task=pair[1])
            for name, path in tables.items()
        }
        chosen = [run["variant"] for run in selection_plan(wildcards) if run["variant"]]
        predictions += [(variant, seed) for variant in chosen for seed in SEEDS]
    files = [
        PREDICTIONS.format(model=pair[0], task=pair[1], variant=variant, seed=seed)
        for variant, seed in predictions
    ]
    return found | ({"runs": list(dict.fromkeys(files))} if files else {})


def claim_tables(wildcards):
    """Input function: the evidence for claims about the study as a whole, in the same way."""
    asked, found = given.analyses_of(config), {}
    if "cka" in asked and len(MODELS) > 1:
        found["cka-models"] = expand(f"{CKA_MODELS}.csv", task=TASKS)
    permuted = "reinit" in asked and explained(
        plans.reinit_pairs, config, "permutation"
    )
    if permuted and len(TASKS) > 1:
        found["permutation-correlations"] = [PERMUTATION_CORRELATIONS]
    return found


def explorer_tables(wildcards):
    """Input function: the tables that the explorer shows, of the study's analyses alone."""
    asked, found = given.analyses_of(config), {}
    if "cka" in asked:
        found |= {"cka": pairs(f"{CKA}.csv"), "blocks": pairs(BLOCKS)}
    if "truncation" in asked:
        found["truncation"] = pairs(f"{TRUNCATION}.csv")
        found["calibration"] = pairs(f"{CALIBRATION}.csv")
        found |= {"verdicts": pairs(VERDICTS), "summary": pairs(SUMMARY_OF_PAIR)}
    if "controls" in asked:
        found["controls"] = pairs(f"{CONTROLS}.csv")
    if "skipping" in asked and config["study"]["skipping"]:
        found["skipping"] = pairs(f"{SKIPPING}.csv", config["study"]["skipping"])
    if "variability" in asked:
        found["variability"] = measured_variability(NU)
    if "frontier" in asked:
        found |= {
            "frontier": pairs(f"{FRONTIER_OF_PAIR}.csv"),
            "answers": [f"{FRONTIER}.csv"],
        }
    if "agreement" in asked and not given.is_given_study(config):
        found["findings"] = [f"{AGREEMENT}.csv"]
    if "claims" in asked:
        found["claims"] = [f"{CLAIMS}.csv"]
    return {name: paths for name, paths in found.items() if paths}


def shown_runs():
    """[model, task, seed] of the full runs that the study's analyses need: the explorer asks for no
    others."""
    asked = set(given.analyses_of(config))
    seeds = {"frontier": given.cut_seeds} if "frontier" in asked else {}
    if asked & {
        "cka",
        "controls",
        "truncation",
        "skipping",
        "exits",
        "export",
        "agreement",
    }:
        seeds = {"all": given.seeds_of}
    return [
        [model, task, seed]
        for seeds_of_model in seeds.values()
        for model in MODELS
        for task in TASKS
        for seed in seeds_of_model(config, model)
    ]


def full_runs(pattern):
    """A file of every full run that the explorer shows, in their order."""
    return [
        pattern.format(model=model, task=task, variant=Variant.KEPT, seed=seed)
        for model, task, seed in shown_runs()
    ]


def architectures(wildcards):
    """Param: each model's architecture, by which claims find the models that papers speak of."""
    return {model: explained(architecture_of, config, model) for model in MODELS}


# For each of `study.analyses`; the rules of the same names are in targets.smk.
TARGETS = {
    "cka": cka_targets,
    "controls": controls_targets,
    "truncation": truncation_targets,
    "skipping": skipping_targets,
    "exits": exits_targets,
    "frontier": frontier_targets,
    "export": export_targets,
    "reinit": reinit_targets,
    "variability": variability_targets,
    "agreement": agreement_targets,
    "claims": claims_targets,
}
