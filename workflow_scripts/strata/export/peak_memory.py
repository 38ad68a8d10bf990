"""What a process that serves a model folder holds at most. Run in a process of its own."""

import sys


def report_peak() -> None:
    """Load a folder as any user would, answer one batch, and print the peak memory in MB (2^20).

    Command line: the folder, a file of inputs as ``torch.save`` writes them, whether each row is a
    choice of its own (1 or 0), threads.
    """
    folder, batch, choices, threads = sys.argv[1:]

    import torch
    from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification

    from strata.modeling.compute import PeakMemory, device, inference

    torch.set_num_threads(int(threads))
    peak = PeakMemory()
    auto = AutoModelForMultipleChoice if choices == "1" else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder, dtype=torch.float32).eval().to(device())
    inputs = {name: t.to(device()) for name, t in torch.load(batch, weights_only=True).items()}
    if choices == "1":
        inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
    with inference():
        model(**inputs).logits.cpu()
    print(peak.read())
