"""Partial reinitialisation (Tamkin et al. 2020): layers with new weights, then fine-tuned."""

from strata.plans import PARTS, count_runs, planned_runs

REINIT = "<results>/reinit/{model}_{task}"


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
    """A part's table of every pair."""
    return [
        f"{REINIT}/{part}.csv".format(model=m, task=t) for m, t in reinit_pairs(part)
    ]


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


def reinit_targets():
    """Every table of the study, and the figures whose parts it has."""
    targets = [table for part in PARTS for table in reinit_tables(part)]
    drawn = [part for part in PARTS if part != "probing" and reinit_pairs(part)]
    targets += expand("<results>/reinit/{part}.png", part=drawn)
    if len(TASKS) > 1 and "permutation" in drawn:
        targets += ["<results>/reinit/permutation_correlations.csv"]
    return targets


def announce_runs():
    """How many runs partial reinitialisation needs, where it is asked for."""
    asked = {
        *ANALYSES,
        *(workflow.dag_settings.targets if workflow.dag_settings else []),
    }
    if workflow.is_main_process and asked & {"reinit", "agreement"}:
        plans = [
            (m, t, reinit_plan(m, t, p)) for p in PARTS for m, t in reinit_pairs(p)
        ]
        print(
            f"Partial reinitialisation needs {count_runs(plans):,} runs.",
            file=sys.stderr,
        )


announce_runs()


localrules:
    reinit,


rule reinit:
    input:
        reinit_targets(),


rule collect_reinit:
    input:
        predictions=reinit_files("predictions.parquet"),
        about=reinit_files("run.json"),
        examples="data/tasks/{task}/eval.parquet",
        task="data/tasks/{task}/task.json",
    output:
        table=f"{REINIT}/{{part}}.csv",
    log:
        "<logs>/collect_reinit/{model}_{task}_{part}.log",
    benchmark:
        "<benchmarks>/collect_reinit/{model}_{task}_{part}.tsv"
    wildcard_constraints:
        part="|".join(PARTS),
    conda:
        "../envs/strata.yaml"
    params:
        places=reinit_places,
        evaluation=EVAL_SAMPLE,
        code=code_version("collect_reinit"),
    message:
        "Partial reinitialisation of {wildcards.model} on {wildcards.task}: {wildcards.part}"
    script:
        "../workflow_scripts/collect_reinit.py"


rule correlate_permutations:
    input:
        tables=reinit_tables("permutation"),
    output:
        table="<results>/reinit/permutation_correlations.csv",
    log:
        "<logs>/correlate_permutations.log",
    benchmark:
        "<benchmarks>/correlate_permutations.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        sampling=sampling(config),
        code=code_version("correlate_permutations"),
    message:
        "Permutations: do tasks agree on which order is worse?"
    script:
        "../workflow_scripts/correlate_permutations.py"


rule plot_progressive:
    input:
        tables=reinit_tables("progressive"),
        probing=reinit_tables("probing"),
    output:
        png=report(
            "<results>/reinit/progressive.png",
            caption="../report/reinit_progressive.rst",
            category="Partial reinitialisation",
        ),
        pdf="<results>/reinit/progressive.pdf",
    log:
        "<logs>/plot_reinit/progressive.log",
    benchmark:
        "<benchmarks>/plot_reinit/progressive.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        kind="progressive",
        style=STYLE,
        code=code_version("plot_reinit"),
    message:
        "Partial reinitialisation from the top"
    script:
        "../workflow_scripts/plot_reinit.py"


use rule plot_progressive as plot_kept_norms with:
    input:
        tables=reinit_tables("kept-norms"),
    output:
        png=report(
            "<results>/reinit/kept-norms.png",
            caption="../report/reinit_kept_norms.rst",
            category="Partial reinitialisation",
        ),
        pdf="<results>/reinit/kept-norms.pdf",
    log:
        "<logs>/plot_reinit/kept-norms.log",
    benchmark:
        "<benchmarks>/plot_reinit/kept-norms.tsv"
    params:
        kind="kept-norms",
        style=STYLE,
        code=code_version("plot_reinit"),
    message:
        "Partial reinitialisation, layer norms kept and reset"


use rule plot_progressive as plot_localized with:
    input:
        tables=reinit_tables("localized"),
    output:
        png=report(
            "<results>/reinit/localized.png",
            caption="../report/reinit_localized.rst",
            category="Partial reinitialisation",
        ),
        pdf="<results>/reinit/localized.pdf",
    log:
        "<logs>/plot_reinit/localized.log",
    benchmark:
        "<benchmarks>/plot_reinit/localized.tsv"
    params:
        kind="localized",
        style=STYLE,
        code=code_version("plot_reinit"),
    message:
        "Partial reinitialisation, block by block"


use rule plot_progressive as plot_permutation with:
    input:
        tables=reinit_tables("permutation"),
    output:
        png=report(
            "<results>/reinit/permutation.png",
            caption="../report/reinit_permutation.rst",
            category="Partial reinitialisation",
        ),
        pdf="<results>/reinit/permutation.pdf",
    log:
        "<logs>/plot_reinit/permutation.log",
    benchmark:
        "<benchmarks>/plot_reinit/permutation.tsv"
    params:
        kind="permutation",
        style=STYLE,
        code=code_version("plot_reinit"),
    message:
        "Permuted layers"
