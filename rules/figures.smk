"""Figures, from tables alone: restyling one runs only its own script."""

OTHER_ESTIMATOR = next(
    each for each in ("biased", "debiased") if each != config["cka"]["estimator"]
)
FIGURE1 = CKA.format(**config["study"]["figure1"])
CKA_STYLE = dict(
    models=MODELS,
    tasks=TASKS,
    seeds=SEEDS,
    titles=TITLES,
    estimator=config["cka"]["estimator"],
    pooling=config["cka"]["pooling"],
    shown=config["cka"]["seeds"],
)
if len({len(given.seeds_of(config, model)) for model in MODELS}) > 1:
    CKA_STYLE |= {"uneven": True}


rule plot_cka:
    input:
        table=f"{CKA}.csv",
        blocks=[BLOCKS] * config["cka"]["boundaries"],
    output:
        png=report(
            f"{CKA}.png",
            caption="../report/pair_maps.rst",
            category="CKA by model and task",
            labels={"model": "{model}", "task": "{task}", "estimator": "as drawn"},
        ),
        pdf=f"{CKA}.pdf",
        other_png=report(
            f"{CKA}.{OTHER_ESTIMATOR}.png",
            caption="../report/pair_maps.rst",
            category="CKA by model and task",
            labels={
                "model": "{model}",
                "task": "{task}",
                "estimator": OTHER_ESTIMATOR,
            },
        ),
        other_pdf=f"{CKA}.{OTHER_ESTIMATOR}.pdf",
    log:
        "<logs>/plot_cka/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_cka/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: CKA_STYLE | {"seeds": seeds_of(w)},
        other=OTHER_ESTIMATOR,
        code=code_of("plot_cka"),
    message:
        "Figure 1 of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_cka.py"


rule plot_truncation:
    input:
        tables=[f"{TRUNCATION}.csv"],
    output:
        png=report(
            f"{TRUNCATION}.png",
            caption="../report/figure3.rst",
            category="Truncation by model and task",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{TRUNCATION}.pdf",
    log:
        "<logs>/plot_truncation/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_truncation/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        code=code_of("plot_truncation"),
    message:
        "Truncation curves of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_truncation.py"


rule plot_skipping:
    input:
        tables=[f"{SKIPPING}.csv"],
    output:
        png=report(
            f"{SKIPPING}.png",
            caption="../report/figure4.rst",
            category="Skipping by model and task",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{SKIPPING}.pdf",
    log:
        "<logs>/plot_skipping/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_skipping/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=lambda w: STYLE | {"models": [w.model], "tasks": [w.task]},
        code=code_of("plot_skipping"),
    message:
        "Skip triangle of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_skipping.py"


rule figure1:
    input:
        png=f"{FIGURE1}.png",
        pdf=f"{FIGURE1}.pdf",
    output:
        png=report(
            f"{FIGURE}1.png",
            caption="../report/figure1.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}1.pdf",
    log:
        "<logs>/figures/figure1.log",
    benchmark:
        "<benchmarks>/figures/figure1.tsv"
    conda:
        "../envs/strata.yaml"
    message:
        "Figure 1: the maps of one model and task"
    shell:
        "(cp {input.png} {output.png} && cp {input.pdf} {output.pdf}) 2> {log}"


rule figure2:
    input:
        tables=pairs(f"{CKA}.csv"),
        blocks=pairs(BLOCKS) * config["cka"]["boundaries"],
    output:
        png=report(
            f"{FIGURE}2.png",
            caption="../report/figure2.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}2.pdf",
    log:
        "<logs>/figures/figure2.log",
    benchmark:
        "<benchmarks>/figures/figure2.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        kind="ft-ft",
        style=CKA_STYLE,
        code=code_of("plot_map_grid"),
    message:
        "Figure 2: FT-FT"
    script:
        "../workflow_scripts/plot_map_grid.py"


use rule plot_truncation as figure3 with:
    input:
        tables=pairs(f"{TRUNCATION}.csv"),
    output:
        png=report(
            f"{FIGURE}3.png",
            caption="../report/figure3.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}3.pdf",
    log:
        "<logs>/figures/figure3.log",
    benchmark:
        "<benchmarks>/figures/figure3.tsv"
    params:
        style=STYLE,
        code=code_of("plot_truncation"),
    message:
        "Figure 3: truncation"


use rule plot_skipping as figure4 with:
    input:
        tables=pairs(f"{SKIPPING}.csv", config["study"]["skipping"]),
    output:
        png=report(
            f"{FIGURE}4.png",
            caption="../report/figure4.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}4.pdf",
    log:
        "<logs>/figures/figure4.log",
    benchmark:
        "<benchmarks>/figures/figure4.tsv"
    params:
        style=STYLE | {"models": config["study"]["skipping"]},
        code=code_of("plot_skipping"),
    message:
        "Figure 4: skipping spans of layers"


use rule figure2 as figure5 with:
    input:
        tables=pairs(f"{CKA}.csv", ORIGINAL),
    output:
        png=report(
            f"{FIGURE}5.png",
            caption="../report/figure5.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}5.pdf",
    log:
        "<logs>/figures/figure5.log",
    benchmark:
        "<benchmarks>/figures/figure5.tsv"
    params:
        kind="ft-orig",
        style=CKA_STYLE | {"models": ORIGINAL},
        code=code_of("plot_map_grid"),
    message:
        "Figure 5: FT-ORIG"


use rule figure2 as figure6 with:
    input:
        tables=pairs(f"{CKA}.csv", TWICE),
    output:
        png=report(
            f"{FIGURE}6.png",
            caption="../report/figure6.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}6.pdf",
    log:
        "<logs>/figures/figure6.log",
    benchmark:
        "<benchmarks>/figures/figure6.tsv"
    params:
        kind="ft1-ft2",
        style=CKA_STYLE | {"models": TWICE},
        code=code_of("plot_map_grid"),
    message:
        "Figure 6: FT[1]-FT[2]"


rule figure7:
    input:
        tables=expand(f"{CKA_MODELS}.csv", task=TASKS),
    output:
        png=report(
            f"{FIGURE}7.png",
            caption="../report/figure7.rst",
            category="Figures of the paper",
        ),
        pdf=f"{FIGURE}7.pdf",
    log:
        "<logs>/figures/figure7.log",
    benchmark:
        "<benchmarks>/figures/figure7.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        style=CKA_STYLE,
        code=code_of("plot_model_pairs"),
    message:
        "Figure 7: across models"
    script:
        "../workflow_scripts/plot_model_pairs.py"
