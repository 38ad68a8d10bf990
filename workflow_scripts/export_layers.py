"""A fine-tuned model cut to a layer set, as it is or with its head tuned, as a plain folder."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.frontier import NAMES
    from strata.analysis.set_heads import head_of_set
    from strata.analysis.tables import read_metrics
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.export.card import MadeFrom, model_card
    from strata.export.cut import choose_seed, choose_set, cut_model, write_model
    from strata.export.measure import measure
    from strata.modeling.adopt import is_adopted, own_order
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet
    from strata.study.run_records import read_model_source
    from strata.study.settings import ForwardSettings, HeadSettings, Sample, Sampling

    task, sampling = Task.read(inputs.task), Sampling(**params.sampling)
    seed = choose_seed(read_metrics(inputs.metrics, params.seeds))
    run = params.seeds.index(seed)
    checkpoint, forward = inputs.checkpoints[run], ForwardSettings(**params.forward)
    full, tokenizer = load_model(checkpoint, task), load_tokenizer(checkpoint)
    max_length = length_limit(params.max_length, checkpoint, tokenizer)

    table, answers = (pd.read_csv(p, dtype=NAMES) for p in (inputs.frontier, inputs.answers))
    choice = choose_set(params.cut, table, answers, seed)
    kept, head = choice.kept or LayerSet.top_cut(full.config.num_hidden_layers), None
    if tuned := params.cut.endswith("_head"):
        examples = read_examples(inputs.train, Sample(**params.train_sample))
        train = Rows(tokenizer, examples, max_length)
        settings = HeadSettings.of(params.heads)
        head = head_of_set(inputs.heads[run], kept, full, train, task, settings, forward, seed)
    folder = Path(snakemake.output.folder)
    write_model(cut_model(checkpoint, task, kept, head), tokenizer, folder)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    order, adopted = own_order(checkpoint), is_adopted(checkpoint)
    measured = measure(
        folder,
        full,
        Rows(tokenizer, examples, max_length),
        task,
        forward,
        sampling,
        order and order.outputs,
    )
    source = read_model_source(checkpoint if adopted else inputs.model)["source"]
    made = MadeFrom(seed, source if adopted else None, tuned, params.style, source, kept)
    title = f"{params.title} on {task.name}"
    card = model_card(
        title, task, made, snakemake.threads, measured, sampling.confidence, choice.claim
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"layers {kept}: {choice.claim}\n{measured}")
