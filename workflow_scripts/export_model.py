"""Cut a fine-tuned model to a depth, with the head tuned there, and say what that costs."""

from pathlib import Path

from strata.modeling.compute import gpu_job

inputs, params, depth = snakemake.input, snakemake.params, snakemake.wildcards.depth
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.tables import read_metrics
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.export.card import MadeFrom, model_card
    from strata.export.cut import choose, choose_seed, cut_model, write_model
    from strata.export.measure import measure
    from strata.modeling.adopt import is_adopted, own_order
    from strata.modeling.head_tuning import load_head_of_depth
    from strata.modeling.loading import load_model
    from strata.study.layer_sets import LayerSet
    from strata.study.run_records import read_model_source
    from strata.study.settings import ForwardSettings, Sample, Sampling

    task, sampling = Task.read(inputs.task), Sampling(**params.sampling)
    seed = choose_seed(read_metrics(inputs.metrics, params.seeds))
    run = params.seeds.index(seed)
    summary = pd.read_csv(inputs.summary, dtype={"seeds": str})
    choice = choose(depth, summary, params.tolerance, sampling.confidence)

    checkpoint, heads = inputs.checkpoints[run], inputs.heads[run] if inputs.heads else None
    folder, tokenizer = Path(snakemake.output.folder), load_tokenizer(checkpoint)
    head = load_head_of_depth(heads, choice.depth) if heads else None
    small = cut_model(checkpoint, task, LayerSet.top_cut(choice.depth), head)
    write_model(small, tokenizer, folder)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    order = own_order(checkpoint)
    source = read_model_source(checkpoint if is_adopted(checkpoint) else inputs.model)["source"]
    measured = measure(
        folder,
        load_model(checkpoint, task),
        Rows(tokenizer, examples, length_limit(params.max_length, checkpoint, tokenizer)),
        task,
        ForwardSettings(**params.forward),
        sampling,
        order and order.outputs,
    )
    made = MadeFrom(
        seed=seed,
        given=source if is_adopted(checkpoint) else None,
        tuned=heads is not None,
        style=params.style,
        source=source,
    )
    title = f"{params.title} on {task.name}"
    card = model_card(
        title, task, made, snakemake.threads, measured, sampling.confidence, choice.claim
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"depth {choice.depth}: {choice.claim}\n{measured}")
