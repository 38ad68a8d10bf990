"""The study as one page that opens in a browser, from tables alone."""

from strata.explorer.assets import assets_version

# The report's first page says what was found, once the explorer has written it down.
WRITTEN = Path(ANSWERS.replace("<results>", config["outdir"]))
config["answers"] = WRITTEN.read_text(encoding="utf-8") if WRITTEN.is_file() else ""


rule explorer:
    input:
        unpack(explorer_tables),
        metrics=full_runs(METRICS),
        records=full_runs(RECORD),
    output:
        page=report(
            EXPLORER,
            caption="../report/explorer.rst",
            category="The answer",
        ),
        answers=ANSWERS,
    log:
        "<logs>/explorer.log",
    benchmark:
        "<benchmarks>/explorer.tsv"
    conda:
        "../envs/strata.yaml"
    params:
        runs=shown_runs(),
        shown=dict(
            outdir=config["outdir"],
            pairs=[[model, task] for model in MODELS for task in TASKS],
            titles=TITLES,
            pooling=config["cka"]["pooling"],
            estimator=config["cka"]["estimator"],
            tolerance=config["summary"]["tolerance"],
        ),
        files=assets_version(),
        code=code_of("explorer"),
    message:
        "The explorer: the study as one page"
    script:
        "../workflow_scripts/explorer.py"
