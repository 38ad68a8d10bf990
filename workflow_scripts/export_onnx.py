"""An exported folder as ONNX, in float32 and int8, compared with torch."""

from pathlib import Path

from strata.runtime.gpu_lease import lease
from strata.runtime.job import job

inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
with job(snakemake), lease(0):  # no GPU: onnxruntime and torch are both timed on the CPU
    import torch

    from strata.data.batches import Rows
    from strata.data.task import Task, read_examples
    from strata.data.tokens import length_limit, load_tokenizer
    from strata.export.formats import measure_folder, outputs_of
    from strata.export.onnx import write_onnx
    from strata.export.onnx_card import onnx_card
    from strata.study.architectures import read_config
    from strata.study.settings import Sample, Sampling

    torch.set_num_threads(snakemake.threads)
    task, tokenizer = Task.read(inputs.task), load_tokenizer(inputs.folder)
    examples = read_examples(inputs.examples, Sample(**params.sample))
    rows = Rows(tokenizer, examples, length_limit(params.max_length, inputs.folder, tokenizer))
    folder, texts = Path(snakemake.output.folder), examples["text_a"].head(100).tolist()
    differences = write_onnx(inputs.folder, task, folder, params.formats, texts, rows.max_length)
    print(f"largest differences of a logit from torch's: {differences}")
    measured = measure_folder(
        inputs.folder,
        folder,
        params.formats,
        rows,
        task,
        Sampling(**params.sampling),
        params.rounds,
        outputs_of(inputs.folder, inputs.checkpoints),
    )
    measured.to_csv(folder / "measured.csv", index=False)
    title = f"{params.title} on {task.name}"
    card = onnx_card(title, wildcards.exported, task, read_config(inputs.folder), measured)
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(measured.to_string())
