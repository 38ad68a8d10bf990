"""What the similarity of depths consists of: first components, label, examples, neighbours."""


rule measure_controls:
    input:
        activations=EVAL_ACTIVATIONS,
    output:
        table=CONTROLS_OF_STATE,
    log:
        "<logs>/measure_controls/{model}_{task}_{state}.log",
    benchmark:
        "<benchmarks>/measure_controls/{model}_{task}_{state}.tsv"
    conda:
        "../envs/strata.yaml"
    threads: 4
    params:
        code=code_of("measure_controls"),
    message:
        "Controls: {wildcards.model} on {wildcards.task}, {wildcards.state}"
    script:
        "../workflow_scripts/measure_controls.py"


rule tabulate_controls:
    input:
        tables=lambda w: [
            CONTROLS_OF_STATE.format(model=w.model, task=w.task, state=state)
            for state in states_of(w)
        ],
        metrics=runs(METRICS),
    output:
        table=f"{CONTROLS}.csv",
    log:
        "<logs>/tabulate_controls/{model}_{task}.log",
    benchmark:
        "<benchmarks>/tabulate_controls/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        seeds=seeds_of,
        code=code_of("tabulate_controls"),
    message:
        "Controls table of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/tabulate_controls.py"


rule plot_controls:
    input:
        table=f"{CONTROLS}.csv",
    output:
        png=report(
            f"{CONTROLS}.png",
            caption="../report/controls.rst",
            category="What blocks are made of",
            labels={"model": "{model}", "task": "{task}"},
        ),
        pdf=f"{CONTROLS}.pdf",
    log:
        "<logs>/plot_controls/{model}_{task}.log",
    benchmark:
        "<benchmarks>/plot_controls/{model}_{task}.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        pooling=config["cka"]["pooling"],
        titles=TITLES,
        code=code_of("plot_controls"),
    message:
        "Controls figure of {wildcards.model} on {wildcards.task}"
    script:
        "../workflow_scripts/plot_controls.py"
