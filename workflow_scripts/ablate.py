"""Train one run that differs from plain fine-tuning, for its score, not its weights."""

from strata.modeling.compute import gpu_job

wildcards = snakemake.wildcards
with gpu_job(snakemake):
    from strata.modeling.ablations import adapt, merge_adapters, training_examples
    from strata.modeling.run_job import make_run
    from strata.study.settings import ablation_settings_of
    from strata.study.variants import Variant

    variant, seed = Variant.parse(wildcards.variant), int(wildcards.seed)
    settings = ablation_settings_of(variant, snakemake.params.ablation)
    make_run(
        snakemake,
        prepare=lambda model: adapt(model, variant, settings, seed),
        choose=lambda examples: training_examples(examples, variant, seed),
        finish=lambda model, _: merge_adapters(model),
    )
