"""What can be asked for by name: each of `study.analyses`, and all of them together."""

import functools


localrules:
    cka,
    truncation,
    skipping,
    export,
    reinit,
    variability,
    agreement,


def figures(*numbers):
    return expand(f"{FIGURE}{{number}}.png", number=numbers)


def cka_targets():
    numbers = [1, 2, 5, *[6][: len(SEEDS) - 1], *[7][: len(MODELS) - 1]]
    return pairs(f"{CKA}.png") + figures(*numbers)


def truncation_targets():
    return [*pairs(f"{TRUNCATION}.png"), f"{SUMMARY}.csv", *figures(3)]


def skipping_targets():
    models = config["study"]["skipping"]
    return pairs(f"{SKIPPING}.png", models) + figures(4) if models else []


def export_targets():
    return pairs(EXPORT.format(model="{model}", task="{task}", depth="-auto"))


@functools.cache
def announce_runs():
    """How many runs partial reinitialisation needs, said once, where it is asked for."""
    if workflow.is_main_process:
        count = explained(plans.count_reinit_runs, config)
        print(f"Partial reinitialisation needs {count:,} runs.", file=sys.stderr)


def reinit_targets(wildcards=None):
    """Every table of the study, and the figures whose parts it has."""
    announce_runs()
    tables = [table for part in PARTS for table in reinit_tables(part)(wildcards)]
    drawn = explained(plans.drawn_parts, config)
    drawings = expand(f"{REINIT}/{{part}}.png", part=drawn)
    correlated = len(TASKS) > 1 and "permutation" in drawn
    return tables + drawings + [PERMUTATION_CORRELATIONS] * correlated


def variability_targets():
    return pairs(f"{VARIABILITY}.csv") + pairs(f"{VARIABILITY}.png")


def agreement_targets():
    correlations = [f"{METHOD_CORRELATIONS}.{kind}" for kind in ("csv", "png")]
    return [*pairs(f"{AGREEMENT_OF_PAIR}.png"), f"{AGREEMENT}.csv", *correlations]


# Of each of `study.analyses`; the rules below are called like them.
TARGETS = {
    "cka": cka_targets,
    "truncation": truncation_targets,
    "skipping": skipping_targets,
    "export": export_targets,
    "reinit": reinit_targets,
    "variability": variability_targets,
    "agreement": agreement_targets,
}


rule cka:
    input:
        cka_targets(),


rule truncation:
    input:
        truncation_targets(),


rule skipping:
    input:
        skipping_targets(),


rule export:
    input:
        export_targets(),


rule reinit:
    input:
        reinit_targets,


rule variability:
    input:
        variability_targets(),


rule agreement:
    input:
        agreement_targets(),


onsuccess:
    from strata.analysis.summary import (
        final_words,
    )  # and pandas, which planning does without

    asked = {*config["study"]["analyses"], *workflow.dag_settings.targets}
    for words in final_words(config["outdir"], asked):
        print(f"\n{words}")
