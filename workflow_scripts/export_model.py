"""Cut a fine-tuned model to a depth, with the head tuned there, and say what that costs."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params, depth = snakemake.input, snakemake.params, snakemake.wildcards.depth
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.tables import read_metrics
    from strata.data.tokens import load_tokenizer
    from strata.export.cut import choose, choose_seed, cut_model, write_model
    from strata.export.describe import Described, describe
    from strata.modeling.head_tuning import load_head_of_depth
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet

    study, folder = Described.of(snakemake), Path(snakemake.output.folder)
    seed = choose_seed(read_metrics(inputs.metrics, params.seeds))
    run = params.seeds.index(seed)
    summary = pd.read_csv(inputs.summary, dtype={"seeds": str})
    choice = choose(depth, summary, params.tolerance, study.sampling.confidence)

    checkpoint, heads = inputs.checkpoints[run], inputs.heads[run] if inputs.heads else None
    head = load_head_of_depth(heads, choice.depth) if heads else None
    small = cut_model(checkpoint, study.task, LayerSet.top_cut(choice.depth), head)
    write_model(small, load_tokenizer(checkpoint), folder)
    made = study.made_from(checkpoint, seed, tuned=bool(heads))
    full = load_model(checkpoint, study.task)
    said = describe(folder, checkpoint, full, made, choice.claim, study)
    print(f"depth {choice.depth}: {said}")
