"""What the papers claim, and whether it holds in this study."""

CLAIM_SETTINGS = {**config["claims"], **sampling(config)}
ANALYSES = given.analyses_of(config)


rule measure_claims:
    input:
        unpack(claim_evidence),
        examples=EVAL_EXAMPLES,
    output:
        table=READINGS,
    log:
        "<logs>/measure_claims/{model}_{task}.log",
    benchmark:
        "<benchmarks>/measure_claims/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        analyses=ANALYSES,
        seeds=seeds_of,
        evaluation=EVAL_SAMPLE,
        settings=CLAIM_SETTINGS,
        code=code_of("measure_claims", "metric"),
    message:
        "Evidence for claims: {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/measure_claims.py"


rule judge_claims:
    input:
        unpack(claim_tables),
        readings=pairs(READINGS),
    output:
        table=report(
            f"{CLAIMS}.csv",
            caption="../report/claims.rst",
            category="The papers' claims",
        ),
    log:
        "<logs>/judge_claims.log",
    benchmark:
        "<benchmarks>/judge_claims.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        analyses=ANALYSES,
        architectures=architectures,
        tasks=TASKS,
        settings=CLAIM_SETTINGS,
        code=code_of("judge_claims"),
    message:
        "The papers, claim by claim"
    script:
        "../workflow_scripts/judge_claims.py"


rule plot_claims:
    input:
        table=f"{CLAIMS}.csv",
    output:
        png=report(
            f"{CLAIMS}.png",
            caption="../report/claims.rst",
            category="The papers' claims",
        ),
        pdf=f"{CLAIMS}.pdf",
    log:
        "<logs>/plot_claims.log",
    benchmark:
        "<benchmarks>/plot_claims.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=STYLE,
        code=code_of("plot_claims"),
    message:
        "The papers' claims, drawn"
    script:
        "../workflow_scripts/plot_claims.py"
