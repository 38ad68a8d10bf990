"""Partial reinitialisation (Tamkin et al. 2020): layers with new weights, then fine-tuned."""


localrules:
    reinit,


rule reinit:
    input:
        reinit_targets,


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
        sampling=sampling(config),
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
