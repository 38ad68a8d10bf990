"""An exported folder as ONNX: in float32 by torch's exporter, in int8 by onnxruntime.

The graph takes the tokenizer's output, with any number of texts, tokens and choices, and returns
the logits. int8 is dynamic quantisation: weights are rounded once, to 7 bits, with one scale per
channel, and activations at each call, with one scale for the whole batch. It is 7 bits because
processors without VNNI add two products in 16 bits, which 8 bits would overflow.
"""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from strata.data.task import Task
from strata.data.tokens import load_tokenizer, positions
from strata.export.costs import Runner
from strata.export.onnx_files import FILES, FP32, INT8, open_session
from strata.modeling.compute import inference
from strata.modeling.head_styles import auto_class
from strata.modeling.loading import quiet_loading, without_cache
from strata.runtime.errors import StrataError

TOLERANCE = 1e-4  # for logits up to 1; for larger ones relative to the largest
ROUNDINGS = 10  # times torch's own rounding error, if that is more: heads may have large weights
LONGEST = 200  # tokens, more than a window of ModernBERT's attention
LENGTHS = (10, 3, 1)  # the longest is divided by these
EXAMPLES = (1, 4)  # examples per batch


def plain_model(folder: str | Path, task: Task) -> PreTrainedModel:
    """An exported folder as any user would load it, in float32 and eval mode, on the CPU."""
    with quiet_loading():
        model = auto_class(task).from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False
        )
    return without_cache(model.eval())


def write_onnx(
    folder: str | Path,
    task: Task,
    target: str | Path,
    formats: Sequence[str],
    texts: Sequence[str],
    max_length: int,
) -> dict[str, float]:
    """Write a folder of config, tokenizer and ``onnx/model.onnx``, ``onnx/model_quantized.onnx``.

    Parameters
    ----------
    folder : path-like
        The folder of a plain checkpoint.
    formats : sequence of str
        The formats to write, of FP32 and INT8.
    texts : sequence of str
        Texts of the task, on which the formats are compared with torch.
    max_length : int
        The number of tokens that a text is cut to.

    Returns
    -------
    dict of str to float
        For each format, the largest difference of a logit from torch's, on batches of several
        shapes.

    Raises
    ------
    StrataError
        The exporter refuses the model, or its logits differ from torch's.
    """
    folder, target = Path(folder), Path(target)
    model, tokenizer = plain_model(folder, task), load_tokenizer(folder)
    longest = min(LONGEST, max_length, positions(model.config) or LONGEST)
    batches = list(_batches(tokenizer, texts, task, longest))
    with inference():
        logits = [model(**inputs).logits for inputs in batches]
    (target / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "config.json", target)
    tokenizer.save_pretrained(target)
    differences = {}
    with tempfile.TemporaryDirectory(dir=target) as place:
        path = Path(place) / Path(FILES[FP32]).name
        _export(model, batches[-1], path)
        differences[FP32] = _largest_difference(path, model, batches, logits)
        _check(differences[FP32], model, batches, logits)
        if INT8 in formats:
            quantize(path, target / FILES[INT8])
            differences[INT8] = _largest_difference(target / FILES[INT8], model, batches, logits)
        if FP32 in formats:
            for part in Path(place).iterdir():  # above 2 GB the weights are in a separate file
                shutil.move(part, target / "onnx")
    return {each: differences[each] for each in formats}


def quantize(path: str | Path, target: str | Path) -> None:
    """Write the int8 version of a float32 file."""
    with _quiet_libraries():
        quantize_dynamic(
            path, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )


def onnx_runner(path: str | Path, task: Task) -> Runner:
    """The logits of an ONNX file by onnxruntime, on as many threads as torch uses."""
    return partial(_answer, open_session(path, torch.get_num_threads()), task)


def _answer(session: object, task: Task, inputs: dict[str, Tensor]) -> Tensor:
    """Logits (rows, outputs), as from ``row_logits``, which scores each choice separately."""
    if task.kind.compares_rows:
        inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
    return _run(session, inputs)


def _run(session: object, inputs: Mapping[str, Tensor]) -> Tensor:
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    return torch.from_numpy(session.run(None, arrays)[0])  # type: ignore[attr-defined]


class _Logits(nn.Module):
    """A model with positional inputs whose only output is the logits."""

    def __init__(self, model: PreTrainedModel, names: Sequence[str]):
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (examples, outputs), for multiple choice (examples, choices)."""
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def _export(model: PreTrainedModel, inputs: Mapping[str, Tensor], path: Path) -> None:
    """Write the float32 file; `inputs` are examples of its inputs, with no axis of size 1."""
    axes = {2: ("batch", "tokens"), 3: ("batch", "choices", "tokens")}
    shapes = tuple(dict(enumerate(axes[tensor.ndim])) for tensor in inputs.values())
    model.set_attn_implementation("eager")  # onnxruntime fuses its operations
    try:
        with _quiet_libraries(), inference():
            program = torch.onnx.export(
                _Logits(model, list(inputs)).eval(),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=(shapes,),
                dynamo=True,
                verbose=False,
            )
            program.save(path)
    except torch.onnx.OnnxExporterError as error:
        raise StrataError(
            f"torch's exporter cannot write a {model.config.model_type} as ONNX: "
            f"{_first_line(error.__cause__ or error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _largest_difference(
    path: Path,
    model: PreTrainedModel,
    batches: Sequence[Mapping[str, Tensor]],
    logits: Sequence[Tensor],
) -> float:
    """The largest difference from torch's logits."""
    try:
        session = open_session(path, torch.get_num_threads())
        answers = [_run(session, inputs) for inputs in batches]
    except Exception as error:  # onnxruntime's own exceptions, which have no common base
        raise StrataError(
            f"onnxruntime cannot run the {model.config.model_type} that torch's exporter wrote: "
            f"{_first_line(error)}"
        ) from error
    pairs = zip(answers, logits, strict=True)
    return float(torch.stack([(answer - wanted).abs().max() for answer, wanted in pairs]).max())


def _check(
    difference: float,
    model: PreTrainedModel,
    batches: Sequence[Mapping[str, Tensor]],
    logits: Sequence[Tensor],
) -> None:
    """Refuse a difference larger than rounding; leaves the model in float64."""
    allowed = TOLERANCE * max(1.0, *(float(each.abs().max()) for each in logits))
    if not difference <= allowed:  # also refuses NaN
        with inference():
            exact = [model.double()(**inputs).logits for inputs in batches]
        pairs = zip(exact, logits, strict=True)
        rounding = max(float((other - own).abs().max()) for other, own in pairs)
        print(f"torch's own rounding error is {rounding:.2g}", flush=True)
        allowed = max(allowed, ROUNDINGS * rounding)
    if not difference <= allowed:
        raise StrataError(
            f"The {model.config.model_type} that torch's exporter wrote gives other logits than "
            f"torch: they differ by up to {difference:.2g}, but only {allowed:.2g} is allowed."
        )


def _batches(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], task: Task, longest: int
) -> Iterator[dict[str, Tensor]]:
    """Inputs of several lengths and sizes, partly padded; the last is the largest.

    Each has shape (examples, tokens), for multiple choice (examples, choices, tokens).
    """
    words = " ".join(texts).split() or ["text"]
    words *= 1 + 2 * longest // len(words)
    for examples in EXAMPLES:
        rows = [
            words[row : row + longest // (row + 1) + 1] for row in range(examples * task.choices)
        ]
        for part in LENGTHS:
            encoded = tokenizer(
                [" ".join(row) for row in rows],
                truncation=True,
                padding="max_length",
                max_length=max(4, longest // part),
                return_tensors="pt",
            )
            inputs = {name: tensor for name, tensor in encoded.items()}
            if task.kind.compares_rows:
                inputs = {n: t.unflatten(0, (examples, task.choices)) for n, t in inputs.items()}
            yield inputs


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Suppress the exporter's and quantiser's advice to developers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
