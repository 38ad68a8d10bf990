"""Partial reinitialisation (Tamkin et al. 2020): layers with new weights, then fine-tuned."""


rule collect_reinit:
    input:
        predictions=reinit_files(PREDICTIONS),
        about=reinit_files(RECORD),
        examples=EVAL_EXAMPLES,
        task=TASK,
    output:
        table=REINIT_PART,
    log:
        "<logs>/collect_reinit/{model}_{task}_{part}.log",
    benchmark:
        "<benchmarks>/collect_reinit/{model}_{task}_{part}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        places=reinit_places,
        evaluation=EVAL_SAMPLE,
        sampling=sampling(config),
        code=code_of("collect_reinit", "metric", "task_type"),
    message:
        "Partial reinitialisation of {wildcards.model} on {wildcards.task}: {wildcards.part}"
    script:
        "../workflow_scripts/collect_reinit.py"


rule correlate_permutations:
    input:
        tables=reinit_tables("permutation"),
    output:
        table=PERMUTATION_CORRELATIONS,
    log:
        "<logs>/correlate_permutations.log",
    benchmark:
        "<benchmarks>/correlate_permutations.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        sampling=sampling(config),
        code=code_of("correlate_permutations"),
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
            f"{REINIT}/progressive.png",
            caption="../report/reinit_progressive.rst",
            category="Partial reinitialisation",
        ),
        pdf=f"{REINIT}/progressive.pdf",
    log:
        "<logs>/plot_reinit/progressive.log",
    benchmark:
        "<benchmarks>/plot_reinit/progressive.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        kind="progressive",
        style=STYLE,
        code=code_of("plot_reinit"),
    message:
        "Partial reinitialisation from the top"
    script:
        "../workflow_scripts/plot_reinit.py"


use rule plot_progressive as plot_kept_norms with:
    input:
        tables=reinit_tables("kept-norms"),
    output:
        png=report(
            f"{REINIT}/kept-norms.png",
            caption="../report/reinit_kept_norms.rst",
            category="Partial reinitialisation",
        ),
        pdf=f"{REINIT}/kept-norms.pdf",
    log:
        "<logs>/plot_reinit/kept-norms.log",
    benchmark:
        "<benchmarks>/plot_reinit/kept-norms.tsv"
    params:
        kind="kept-norms",
        style=STYLE,
        code=code_of("plot_reinit"),
    message:
        "Partial reinitialisation, layer norms kept and reset"


use rule plot_progressive as plot_faster_layers with:
    input:
        tables=reinit_tables("faster-layers"),
    output:
        png=report(
            f"{REINIT}/faster-layers.png",
            caption="../report/reinit_faster_layers.rst",
            category="Partial reinitialisation",
        ),
        pdf=f"{REINIT}/faster-layers.pdf",
    log:
        "<logs>/plot_reinit/faster-layers.log",
    benchmark:
        "<benchmarks>/plot_reinit/faster-layers.tsv"
    params:
        kind="faster-layers",
        style=STYLE,
        code=code_of("plot_reinit"),
    message:
        "Partial reinitialisation, new layers at a higher rate"


use rule plot_progressive as plot_localized with:
    input:
        tables=reinit_tables("localized"),
    output:
        png=report(
            f"{REINIT}/localized.png",
            caption="../report/reinit_localized.rst",
            category="Partial reinitialisation",
        ),
        pdf=f"{REINIT}/localized.pdf",
    log:
        "<logs>/plot_reinit/localized.log",
    benchmark:
        "<benchmarks>/plot_reinit/localized.tsv"
    params:
        kind="localized",
        style=STYLE,
        code=code_of("plot_reinit"),
    message:
        "Partial reinitialisation, block by block"


use rule plot_progressive as plot_permutation with:
    input:
        tables=reinit_tables("permutation"),
    output:
        png=report(
            f"{REINIT}/permutation.png",
            caption="../report/reinit_permutation.rst",
            category="Partial reinitialisation",
        ),
        pdf=f"{REINIT}/permutation.pdf",
    log:
        "<logs>/plot_reinit/permutation.log",
    benchmark:
        "<benchmarks>/plot_reinit/permutation.tsv"
    params:
        kind="permutation",
        style=STYLE,
        code=code_of("plot_reinit"),
    message:
        "Permuted layers"
