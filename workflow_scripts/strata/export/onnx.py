"""An exported folder as ONNX: in float32 by torch's exporter, in int8 by onnxruntime.

The graph takes what the tokenizer gives, with any number of texts, tokens and choices, and puts out
the logits. int8 is dynamic quantisation: weights are rounded once, to 7 bits, by a scale a channel,
and what goes through the layers at each call, by a scale of the whole batch. 7 bits, since
processors without VNNI add two products in 16 bits, which 8 would overflow.
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

TOLERANCE = 1e-4  # of logits up to 1; of larger ones as a share of the largest
ROUNDINGS = 10  # times torch's own rounding error, where that is more: heads may have large weights
LONGEST = 200  # tokens, more than a window of ModernBERT's attention
LENGTHS = (10, 3, 1)  # parts of the longest
EXAMPLES = (1, 4)  # of a batch


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
    folder : of a plain checkpoint.
    formats : of FP32 and INT8, those that are wanted.
    texts : of the task, from which both are compared with torch.
    max_length : tokens that a text is cut to.

    Returns
    -------
    format -> the largest difference of a logit from torch's, on batches of several shapes.

    Raises
    ------
    StrataError : the exporter refuses the model, or its logits are not torch's.
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
            for part in Path(place).iterdir():  # above 2 GB the weights are in a file of their own
                shutil.move(part, target / "onnx")
    return {each: differences[each] for each in formats}


def quantize(path: str | Path, target: str | Path) -> None:
    """The int8 file of a float32 one."""
    with _quiet_libraries():
        quantize_dynamic(
            path, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )


def onnx_runner(path: str | Path, task: Task) -> Runner:
    """The logits of an ONNX file by onnxruntime, on as many threads as torch has."""
    return partial(_answer, open_session(path, torch.get_num_threads()), task)


def _answer(session: object, task: Task, inputs: dict[str, Tensor]) -> Tensor:
    """[rows, outputs]; as ``row_logits``, which scores each choice by itself."""
    if task.kind.compares_rows:
        inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
    return _run(session, inputs)


def _run(session: object, inputs: Mapping[str, Tensor]) -> Tensor:
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    return torch.from_numpy(session.run(None, arrays)[0])  # type: ignore[attr-defined]


class _Logits(nn.Module):
    """A model whose inputs have places, and whose output is the logits alone."""

    def __init__(self, model: PreTrainedModel, names: Sequence[str]):
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        """[examples, outputs], of multiple choice [examples, choices]."""
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def _export(model: PreTrainedModel, inputs: Mapping[str, Tensor], path: Path) -> None:
    """Write the float32 file; `inputs` are such as it will take, no axis of them 1."""
    axes = {2: ("batch", "tokens"), 3: ("batch", "choices", "tokens")}
    shapes = tuple(dict(enumerate(axes[tensor.ndim])) for tensor in inputs.values())
    model.set_attn_implementation("eager")  # whose operations onnxruntime fuses itself
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
            f"torch's exporter does not write a {model.config.model_type} as ONNX: "
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
    """From the logits of torch."""
    try:
        session = open_session(path, torch.get_num_threads())
        answers = [_run(session, inputs) for inputs in batches]
    except Exception as error:  # onnxruntime's own, which have no name in common
        raise StrataError(
            f"onnxruntime does not run the {model.config.model_type} that torch's exporter wrote: "
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
    """Refuse a difference that is more than rounding; the model is left in float64."""
    allowed = TOLERANCE * max(1.0, *(float(each.abs().max()) for each in logits))
    if not difference <= allowed:  # nor may it be NaN
        with inference():
            exact = [model.double()(**inputs).logits for inputs in batches]
        pairs = zip(exact, logits, strict=True)
        rounding = max(float((other - own).abs().max()) for other, own in pairs)
        print(f"torch's own rounding error is {rounding:.2g}", flush=True)
        allowed = max(allowed, ROUNDINGS * rounding)
    if not difference <= allowed:
        raise StrataError(
            f"The {model.config.model_type} that torch's exporter wrote puts out other logits than "
            f"torch: they differ by up to {difference:.2g}, and {allowed:.2g} is allowed."
        )


def _batches(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], task: Task, longest: int
) -> Iterator[dict[str, Tensor]]:
    """Inputs of several lengths and sizes, partly padded; the last is the largest.

    Each [examples, tokens], of multiple choice [examples, choices, tokens].
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
    """Without what the exporter and the quantiser advise their developers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
