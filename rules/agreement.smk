"""What the three studies say together, layer by layer."""


localrules:
    agreement,


rule agreement:
    input:
        agreement_targets(),


rule compare_methods:
    input:
        cka="<results>/cka/{model}_{task}.csv",
        truncation="<results>/truncation/{model}_{task}.csv",
        skipping="<results>/skipping/{model}_{task}.csv",
        reinit=localized_table,
        nu="<results>/variability/{model}_{task}/nu.csv",
    output:
        table=f"{AGREEMENT}.csv",
        finding=f"{AGREEMENT}/finding.csv",
    log:
        "<logs>/compare_methods/{model}_{task}.log",
    benchmark:
        "<benchmarks>/compare_methods/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        settings=config["summary"],
        code=code_version("compare_methods"),
    message:
        "What each method says of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/compare_methods.py"


rule findings:
    input:
        tables=pairs(f"{AGREEMENT}/finding.csv"),
    output:
        table=report(
            "<results>/agreement.csv",
            caption="../report/agreement_findings.rst",
            category="What the methods say together",
        ),
    log:
        "<logs>/findings.log",
    benchmark:
        "<benchmarks>/findings.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        code=code_version("join_tables"),
    message:
        "Findings of the study"
    script:
        "../workflow_scripts/join_tables.py"


rule correlate_methods:
    input:
        tables=pairs(f"{AGREEMENT}.csv"),
    output:
        table="<results>/agreement/correlations.csv",
    log:
        "<logs>/correlate_methods.log",
    benchmark:
        "<benchmarks>/correlate_methods.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        sampling=sampling(config),
        code=code_version("correlate_methods"),
    message:
        "Do the methods order layers alike?"
    script:
        "../workflow_scripts/correlate_methods.py"


rule plot_agreement:
    input:
        table=f"{AGREEMENT}.csv",
        finding=f"{AGREEMENT}/finding.csv",
    output:
        png=report(
            f"{AGREEMENT}.png",
            caption="../report/agreement.rst",
            category="What the methods say together",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{AGREEMENT}.pdf",
    log:
        "<logs>/plot_agreement/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_agreement/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_version("plot_agreement"),
    message:
        "The methods side by side: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_agreement.py"


rule plot_correlations:
    input:
        table="<results>/agreement/correlations.csv",
    output:
        png=report(
            "<results>/agreement/correlations.png",
            caption="../report/agreement_correlations.rst",
            category="What the methods say together",
        ),
        pdf="<results>/agreement/correlations.pdf",
    log:
        "<logs>/plot_correlations.log",
    benchmark:
        "<benchmarks>/plot_correlations.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        titles=TITLES,
        code=code_version("plot_correlations"),
    message:
        "Rank correlations between methods"
    script:
        "../workflow_scripts/plot_correlations.py"
