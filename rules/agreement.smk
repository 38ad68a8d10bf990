"""What the three studies say together, layer by layer."""


rule measure_movement:
    input:
        activations=runs(EVAL_ACTIVATIONS),
        metrics=runs(METRICS),
    output:
        table=MOVEMENT,
    log:
        "<logs>/measure_movement/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_movement/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        code=code_of("measure_movement"),
    message:
        "How far each layer turns representations: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_movement.py"


rule compare_methods:
    input:
        cka=f"{CKA}.csv",
        blocks=BLOCKS,
        truncation=f"{TRUNCATION}.csv",
        skipping=f"{SKIPPING}.csv",
        reinit=localized_table,
        nu=NU,
        movement=MOVEMENT,
    output:
        table=f"{AGREEMENT_OF_PAIR}.csv",
        finding=FINDING,
    log:
        "<logs>/compare_methods/{model}_{task}.log",
    benchmark:
        "<benchmarks>/compare_methods/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        settings=config["summary"],
        code=code_of("compare_methods"),
    message:
        "What each method says about {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/compare_methods.py"


rule tabulate_findings:
    input:
        tables=pairs(FINDING),
    output:
        table=report(
            f"{AGREEMENT}.csv",
            caption="../report/agreement_findings.rst",
            category="What the methods say together",
        ),
    log:
        "<logs>/tabulate_findings.log",
    benchmark:
        "<benchmarks>/tabulate_findings.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_of("join_tables"),
    message:
        "Findings of the study"
    script:
        "../workflow_scripts/join_tables.py"


rule correlate_methods:
    input:
        tables=pairs(f"{AGREEMENT_OF_PAIR}.csv"),
    output:
        table=f"{METHOD_CORRELATIONS}.csv",
    log:
        "<logs>/correlate_methods.log",
    benchmark:
        "<benchmarks>/correlate_methods.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        sampling=sampling(config),
        code=code_of("correlate_methods"),
    message:
        "Do the methods order layers in the same way?"
    script:
        "../workflow_scripts/correlate_methods.py"


rule plot_agreement:
    input:
        table=f"{AGREEMENT_OF_PAIR}.csv",
        finding=FINDING,
    output:
        png=report(
            f"{AGREEMENT_OF_PAIR}.png",
            caption="../report/agreement.rst",
            category="What the methods say together",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{AGREEMENT_OF_PAIR}.pdf",
    log:
        "<logs>/plot_agreement/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_agreement/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_of("plot_agreement"),
    message:
        "The methods side by side: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_agreement.py"


rule plot_correlations:
    input:
        table=f"{METHOD_CORRELATIONS}.csv",
    output:
        png=report(
            f"{METHOD_CORRELATIONS}.png",
            caption="../report/agreement_correlations.rst",
            category="What the methods say together",
        ),
        pdf=f"{METHOD_CORRELATIONS}.pdf",
    log:
        "<logs>/plot_correlations.log",
    benchmark:
        "<benchmarks>/plot_correlations.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_of("plot_correlations"),
    message:
        "Rank correlations between methods"
    script:
        "../workflow_scripts/plot_correlations.py"
