"""A fine-tuned model cut to a layer set, as it is or with its head tuned, as a plain folder."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.frontier import NAMES
    from strata.analysis.set_heads import head_of_set
    from strata.analysis.tables import read_metrics
    from strata.data.task import read_examples
    from strata.data.tokens import load_tokenizer
    from strata.export.cut import choose_seed, choose_set, cut_model, write_model
    from strata.export.describe import Described, describe
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet
    from strata.study.settings import HeadSettings, Sample

    study, folder = Described.of(snakemake), Path(snakemake.output.folder)
    seed = choose_seed(read_metrics(inputs.metrics, params.seeds))
    run = params.seeds.index(seed)
    checkpoint = inputs.checkpoints[run]
    full = load_model(checkpoint, study.task)

    table, answers = (pd.read_csv(p, dtype=NAMES) for p in (inputs.frontier, inputs.answers))
    choice = choose_set(params.cut, table, answers, seed)
    kept, head = choice.kept or LayerSet.top_cut(full.config.num_hidden_layers), None
    if tuned := params.cut.endswith("_head"):
        examples = read_examples(inputs.train, Sample(**params.train_sample))
        train, settings = study.rows(checkpoint, examples), HeadSettings.of(params.heads)
        trained = inputs.heads[run]
        head = head_of_set(trained, kept, full, train, study.task, settings, study.forward, seed)
    write_model(cut_model(checkpoint, study.task, kept, head), load_tokenizer(checkpoint), folder)
    made = study.made_from(checkpoint, seed, tuned=tuned, kept=kept)
    said = describe(folder, checkpoint, full, made, choice.claim, study)
    print(f"layers {kept}: {said}")
