"""Peak memory of a process that serves a model; to be run in a separate process."""

import re
import sys
from pathlib import Path


def report_peak() -> None:
    """Load a folder as any user would, answer one batch, and print the peak memory in MB (2^20).

    Command line: the folder, an npz file of inputs (rows, tokens), whether each row is a separate
    choice (1 or 0), threads.
    """
    folder, batch, choices, threads = sys.argv[1:]

    import numpy as np
    import torch
    from transformers import AutoModelForMultipleChoice, AutoModelForSequenceClassification

    from strata.modeling.compute import PeakMemory, device, inference

    torch.set_num_threads(int(threads))
    peak = PeakMemory()
    auto = AutoModelForMultipleChoice if choices == "1" else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder, dtype=torch.float32).eval().to(device())
    inputs = {name: torch.from_numpy(a).to(device()) for name, a in np.load(batch).items()}
    if choices == "1":
        inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
    with inference():
        model(**inputs).logits.cpu()
    print(peak.read())


def report_onnx_peak() -> None:
    """The same for an ONNX file instead of the folder, with onnxruntime and without torch."""
    path, batch, choices, threads = sys.argv[1:]

    import numpy as np

    from strata.export.onnx_files import open_session

    inputs = dict(np.load(batch))
    if choices == "1":
        inputs = {name: array[:, None] for name, array in inputs.items()}
    open_session(path, int(threads)).run(None, inputs)
    status = Path("/proc/self/status")
    text = status.read_text(encoding="ascii", errors="replace") if status.is_file() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    print(round(int(found[1]) / 1024, 1) if found else None)
