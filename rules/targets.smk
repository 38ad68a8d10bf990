"""Targets that can be requested by name: each of `study.analyses`, and all of them together."""


rule cka:
    input:
        cka_targets(),


rule controls:
    input:
        controls_targets(),


rule truncation:
    input:
        truncation_targets(),


rule skipping:
    input:
        skipping_targets(),


rule exits:
    input:
        exits_targets(),


rule frontier:
    input:
        frontier_targets(),


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


rule claims:
    input:
        claims_targets(),


onsuccess:
    # With pandas, which planning does without.
    from strata.analysis.summary_words import final_words, places

    asked = {*config["study"]["analyses"], *workflow.dag_settings.targets}
    tolerance = config["summary"]["tolerance"]
    records = [
        f"{config['outdir']}/runs/{m}_{t}/full/*/run.json"
        for m in MODELS
        for t in TASKS
    ]
    for words in final_words(config["outdir"], asked, tolerance, records):
        print(f"\n{words}")
    print("", *places(config["outdir"]), sep="\n", flush=True)
