"""Which runs, tables and figures the sister studies ask for."""

import functools

from strata.study.plans import PARTS, count_runs, planned_runs, selection_variants

REINIT = "<results>/reinit/{model}_{task}"
VARIABILITY = "<results>/variability/{model}_{task}"
AGREEMENT = "<results>/agreement/{model}_{task}"


def reinit_plan(model, task, part):
    layers, _ = explained(encoder_facts, config, model)
    return planned_runs(part, reinit_settings(config, task), layers)


def reinit_pairs(part):
    """The pairs of the study that a part has runs for."""
    return [
        (model, task)
        for model in explained(reinit_models, config)
        for task in TASKS
        if reinit_plan(model, task, part)
    ]


def reinit_tables(part):
    """Input function: a part's table of every pair.

    Like all that asks for a model's layers, called only where it is needed: a study of the first
    paper alone need not know them.
    """

    def tables(wildcards):
        table = f"{REINIT}/{part}.csv"
        return [table.format(model=m, task=t) for m, t in reinit_pairs(part)]

    return tables


def reinit_files(name):
    """Input function: a file of every run of a part, in the plan's order."""

    def files(wildcards):
        plan = reinit_plan(wildcards.model, wildcards.task, wildcards.part)
        return [
            f"{RUN}/{name}".format(
                model=wildcards.model,
                task=wildcards.task,
                variant=p.variant,
                seed=p.seed,
            )
            for p in plan
        ]

    return files


def reinit_places(wildcards):
    """What the table calls each run: line, place on it, training examples (or all)."""
    plan = reinit_plan(wildcards.model, wildcards.task, wildcards.part)
    return [[p.series, p.position, p.variant.size or "all"] for p in plan]


@functools.cache
def announce_runs():
    """How many runs partial reinitialisation needs, said once, where it is asked for."""
    if workflow.is_main_process:
        pairs_of = {part: reinit_pairs(part) for part in PARTS}
        plans = [(m, t, reinit_plan(m, t, p)) for p in PARTS for m, t in pairs_of[p]]
        count = count_runs(plans)
        print(f"Partial reinitialisation needs {count:,} runs.", file=sys.stderr)


def reinit_targets(wildcards=None):
    """Every table of the study, and the figures whose parts it has."""
    announce_runs()
    targets = [table for part in PARTS for table in reinit_tables(part)(wildcards)]
    drawn = [part for part in PARTS if part != "probing" and reinit_pairs(part)]
    if reinit_pairs("probing") and "progressive" not in drawn:
        drawn.append("progressive")  # whose figure shows probing, too
    targets += expand("<results>/reinit/{part}.png", part=drawn)
    if len(TASKS) > 1 and "permutation" in drawn:
        targets += ["<results>/reinit/permutation_correlations.csv"]
    return targets


def selection_plan(wildcards):
    """The runs of a pair, once its variability says which depth is selected."""
    import pandas as pd

    table = checkpoints.measure_variability.get(**wildcards).output.table
    nu = pd.read_csv(table)
    selected = int(nu.loc[nu["selected"], "depth"].item())
    layers, shared = explained(encoder_facts, config, wildcards.model)
    plan = selection_variants(selected, layers, config["variability"]["top"], shared)
    size = config["variability"]["size"]
    suffix = "" if size == "all" else f"_n{size}"
    return [p | {"variant": p["variant"] and p["variant"] + suffix} for p in plan]


def selection_files(name):
    """Input function: a file of every run of a pair's comparison, and of each seed."""

    def files(wildcards):
        return [
            f"{RUN}/{name}".format(
                model=wildcards.model,
                task=wildcards.task,
                variant=p["variant"],
                seed=seed,
            )
            for p in selection_plan(wildcards)
            if p["variant"]
            for seed in SEEDS
        ]

    return files


def means_disk_mb(wildcards, input):
    """Room for mean-pooled train activations: float32, and depth 0 beside the layers."""
    return 3 * train_disk_mb(wildcards, input, config["variability"]["max_examples"])


def variability_targets():
    return pairs(f"{VARIABILITY}.csv") + pairs(f"{VARIABILITY}.png")


def localized_table(wildcards):
    """Partial reinitialisation block by block, of the pairs that have it."""
    has = (wildcards.model, wildcards.task) in reinit_pairs("localized")
    return [f"{REINIT}/localized.csv"] if has else []


def agreement_targets():
    return [
        *pairs(f"{AGREEMENT}.png"),
        "<results>/agreement.csv",
        "<results>/agreement/correlations.csv",
        "<results>/agreement/correlations.png",
    ]
