"""Predictions and costs of a run's candidates as ONNX, in float32 and int8, and in torch."""

from strata.runtime.gpu_lease import lease
from strata.runtime.job import job

inputs, params = snakemake.input, snakemake.params
with job(snakemake), lease(0):  # no GPU: onnxruntime and torch are both timed on the CPU
    import pandas as pd
    import torch

    from strata.analysis.formats import candidates_of_run
    from strata.analysis.frontier import NAMES, RunSets
    from strata.analysis.tables import read_metrics
    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.evaluation.prediction_files import write_predictions
    from strata.export.cut import choose_seed
    from strata.export.formats import measure_candidates
    from strata.study.settings import Sample

    torch.set_num_threads(snakemake.threads)
    task, metrics = Task.read(inputs.task), read_metrics(inputs.metrics, params.seeds)
    seed = choose_seed(metrics)
    run = params.seeds.index(seed)
    proposals = pd.read_csv(inputs.sets[run], dtype=NAMES)
    sets = RunSets(proposals, pd.read_parquet(inputs.answers[run]), metrics[seed])
    checkpoint = inputs.checkpoints[run]
    examples, tokenizer = (
        read_examples(inputs.examples, Sample(**params.sample)),
        load_tokenizer(checkpoint),
    )
    answers, costs = measure_candidates(
        checkpoint,
        inputs.heads[run],
        candidates_of_run(sets, task, params.sizes),
        params.formats,
        Rows(tokenizer, examples, length_limit(params.max_length, checkpoint, tokenizer)),
        task,
        params.rounds,
    )
    write_predictions(answers.assign(seed=seed), snakemake.output.answers)
    costs.to_csv(snakemake.output.costs, index=False)
