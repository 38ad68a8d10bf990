"""What the head reads from the model with each candidate layer set."""

from strata.modeling.compute import gpu_job

inputs, params = snakemake.input, snakemake.params
with gpu_job(snakemake):
    import pandas as pd

    from strata.analysis.set_vectors import dump_sets, sets_of
    from strata.data.batches import Rows
    from strata.data.parts import CHOOSE, JUDGE, TRAIN
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.modeling.compute import device
    from strata.modeling.encoder import Encoder
    from strata.modeling.loading import load_model
    from strata.study.settings import ForwardSettings, Sample

    tokenizer = load_tokenizer(inputs.model)
    max_length = length_limit(params.max_length, inputs.model, tokenizer)
    files = {
        TRAIN: (inputs.get("train"), params.train_sample),
        CHOOSE: (inputs.choose, params.choose_sample),
        JUDGE: (inputs.judge, params.judge_sample),
    }
    parts = {
        part: Rows(tokenizer, read_examples(path, Sample(**sample)), max_length)
        for part, (path, sample) in files.items()
        if path
    }
    encoder = Encoder(load_model(inputs.checkpoint, Task.read(inputs.task)).to(device()))
    sets = sets_of(pd.read_csv(inputs.sets), encoder.num_layers)
    forward = ForwardSettings(**params.forward)
    dump_sets(snakemake.output.vectors, encoder, parts, sets, forward)
