"""A model trained after its cut, or the smallest certified one, as a plain folder."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.frontier import NAMES
    from strata.data.tokens import load_tokenizer
    from strata.export.cut import TRAINED_KEY, choose_trained, cut_model, write_model
    from strata.export.describe import Described, describe
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet

    study, folder = Described.of(snakemake), Path(snakemake.output.folder)
    table, answers = (pd.read_csv(p, dtype=NAMES) for p in (inputs.frontier, inputs.answers))
    named = {Path(path).parts[-3:-1]: path for path in inputs.checkpoints}
    first = int(next(iter(named))[1].removeprefix("seed"))
    choice = choose_trained(params.cut, table, answers, first)
    full_path = dict(zip(params.seeds, inputs.full, strict=True))[choice.seed]
    path = named[str(choice.cut), f"seed{choice.seed}"] if choice.cut else full_path

    layers = LayerSet.top_cut(load_model(path, study.task).config.num_hidden_layers)
    model = cut_model(path, study.task, layers)
    if choice.cut:
        setattr(model.config, TRAINED_KEY, str(choice.cut))
    write_model(model, load_tokenizer(path), folder)
    kept = None if choice.cut else layers
    made = study.made_from(full_path, choice.seed, tuned=False, kept=kept, cut=choice.cut)
    full = load_model(full_path, study.task)
    said = describe(folder, path, full, made, choice.claim, study)
    print(f"{choice.cut or 'the full model'}: {said}")
