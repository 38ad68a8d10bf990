"""Strata: which layers does a fine-tuned Transformer still need?"""

from os import PathLike
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")

# A hosting site's file brings rules and scripts, but not the library that these import.
if not isinstance(workflow.current_basedir, (str, PathLike)):
    raise WorkflowError(
        "Strata's Snakefile must be a local path: clone Strata, and name the path of its Snakefile "
        "instead of github() and the like (docs/module.md)."
    )


include: "rules/paths.smk"
include: "rules/internals.smk"


configfile: Path(workflow.current_basedir) / "config.yaml"


include: "rules/common.smk"
include: "rules/plans.smk"


container: IMAGE


pathvars:
    results=config["outdir"],
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


# The first rule, and so the default one, which a workflow that uses this as a module may have itself.
rule all:
    input:
        [file for name in config["study"]["analyses"] for file in TARGETS[name]()],
        EXPLORER,


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
include: "rules/explorer.smk"
include: "rules/targets.smk"


report: "report/workflow.rst"
