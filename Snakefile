"""Strata: which layers does a fine-tuned Transformer encoder still need?"""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


include: "rules/paths.smk"
include: "rules/internals.smk"


configfile: Path(workflow.basedir) / "config.yaml"


include: "rules/common.smk"
include: "rules/plans.smk"


pathvars:
    results=config["outdir"],
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


include: "rules/fetch.smk"
include: "rules/finetune.smk"
include: "rules/activations.smk"
include: "rules/cka.smk"
include: "rules/controls.smk"
include: "rules/truncation.smk"
include: "rules/calibration.smk"
include: "rules/early_exit.smk"
include: "rules/skipping.smk"
include: "rules/summary.smk"
include: "rules/export.smk"
include: "rules/frontier.smk"
include: "rules/onnx.smk"
include: "rules/reinit.smk"
include: "rules/variability.smk"
include: "rules/agreement.smk"
include: "rules/claims.smk"
include: "rules/figures.smk"
include: "rules/targets.smk"


report: "report/workflow.rst"


rule all:
    default_target: True
    input:
        [file for name in config["study"]["analyses"] for file in TARGETS[name]()],
