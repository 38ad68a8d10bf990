"""Cut a fine-tuned model to a depth, with the head tuned there, and say what that costs."""

from pathlib import Path

from strata.modeling.compute import gpu_job

given, params, depth = snakemake.input, snakemake.params, snakemake.wildcards.depth
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.tables import read_metrics
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.export.card import model_card
    from strata.export.cut import choose_depth, choose_seed, cut_model, write_model
    from strata.export.measure import measure
    from strata.modeling.loading import load_model, load_tokenizer
    from strata.runtime.errors import StrataError

    task, evaluation = Task.read(given.task), params.evaluation
    seed = choose_seed(read_metrics(given.metrics, params.seeds))
    run = params.seeds.index(seed)
    summary = pd.read_csv(given.summary)
    depth = choose_depth(summary) if depth == "-auto" else int(depth)
    layers = int(summary["layers"].iloc[0])
    if not 1 <= depth <= layers:
        raise StrataError(f"There is no depth {depth}: the model has depths 1 to {layers}.")

    folder = Path(snakemake.output.folder)
    small = cut_model(given.checkpoints[run], given.heads[run], task, depth)
    tokenizer = load_tokenizer(given.model)
    write_model(small, tokenizer, folder)
    examples = read_examples(given.examples, evaluation["max_eval_examples"], evaluation["seed"])
    found = measure(
        folder,
        load_model(given.checkpoints[run], task),
        Rows(tokenizer, examples, params.max_length),
        task,
        evaluation,
        params.sampling,
    )
    title = f"{params.title} on {task.name}"
    card = model_card(title, task, seed, snakemake.threads, found, params.sampling["confidence"])
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"depth {depth}: {found}")
