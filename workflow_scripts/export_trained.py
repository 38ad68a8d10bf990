"""A model trained after its cut, or the smallest certified one, as a plain folder."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.frontier import NAMES
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.export.card import MadeFrom, model_card
    from strata.export.cut import choose_trained, cut_model, write_model
    from strata.export.measure import measure
    from strata.modeling.adopt import is_adopted, own_order
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet
    from strata.study.run_records import read_model_source
    from strata.study.settings import ForwardSettings, Sample, Sampling

    task, sampling = Task.read(inputs.task), Sampling(**params.sampling)
    table, answers = (pd.read_csv(p, dtype=NAMES) for p in (inputs.frontier, inputs.answers))
    named = {Path(path).parts[-3:-1]: path for path in inputs.checkpoints}
    first = int(next(iter(named))[1].removeprefix("seed"))
    choice = choose_trained(params.cut, table, answers, first)
    full_path = dict(zip(params.seeds, inputs.full, strict=True))[choice.seed]
    path = named[str(choice.cut), f"seed{choice.seed}"] if choice.cut else full_path
    full, tokenizer = load_model(full_path, task), load_tokenizer(path)
    layers = load_model(path, task).config.num_hidden_layers
    folder = Path(snakemake.output.folder)
    write_model(cut_model(path, task, LayerSet.top_cut(layers)), tokenizer, folder)
    max_length = length_limit(params.max_length, path, tokenizer)
    rows = Rows(tokenizer, read_examples(inputs.examples, Sample(**params.sample)), max_length)
    order, adopted = own_order(path), is_adopted(full_path)
    forward = ForwardSettings(**params.forward)
    measured = measure(folder, full, rows, task, forward, sampling, order and order.outputs)
    source = read_model_source(full_path if adopted else inputs.model)["source"]
    kept = None if choice.cut else LayerSet.top_cut(layers)
    given = source if adopted else None
    made = MadeFrom(choice.seed, given, False, params.style, source, kept, choice.cut)
    card = model_card(
        f"{params.title} on {task.name}",
        task,
        made,
        snakemake.threads,
        measured,
        sampling.confidence,
        choice.claim,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"{choice.cut or 'the full model'}: {choice.claim}\n{measured}")
