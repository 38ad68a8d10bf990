"""How each cost grows with n (examples), d (width) and L (layers), and its memory with n."""

import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import psutil
from worker import forget_peak, peak, wait_for_gpu
from works import Run, depths, training, variability

SHORT = 0.4  # seconds
MEMORY_MB = 64  # CKA's own bound, small compared with the data

Size = Mapping[str, int]
Maker = Callable[[Path, Size], Run]  # makes what is timed, from a folder and a size


@dataclass(frozen=True)
class Cost:
    """A computation, its base size, and the exponents that theory predicts.

    Attributes
    ----------
    varied : mapping of str to tuple
        For n, d or L, its values, and the power with which time grows in theory.
    """

    name: str
    make: Maker
    size: Size
    varied: Mapping[str, tuple[tuple[int, ...], int]]


def _cka(_: Path, size: Size, memory_mb: float = 2048) -> Run:
    from strata.analysis.cka import alignment

    shape = (size["L"], size["n"], size["d"])
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    return lambda: alignment(values, values, memory_mb)


def _of_encoder(contestant: Callable[[Path], Run]) -> Maker:
    def make(folder: Path, size: Size) -> Run:
        from works import models

        models.prepare(folder, size["n"], size["L"], size["d"])
        return contestant(folder)

    return make


# Short texts: nearly all of a pass is products with the layers' d x d weights.
ENCODER = {"n": ((32, 64, 128), 1), "d": ((192, 384, 768), 2), "L": ((3, 6, 12), 1)}
# There are L^2 / 2 spans, and for each of them the layers after it run.
SPANS = {"n": ((8, 16, 32), 1), "d": ((192, 384, 768), 2), "L": ((3, 6, 12), 3)}
GRAM = {"n": ((1_000, 2_000, 4_000, 8_000), 2), "d": ((256, 512, 1_024, 2_048), 1)}
FEATURE = {"n": ((4_000, 8_000, 16_000, 32_000), 1), "d": ((64, 128, 256), 2), "L": ((2, 4, 8), 2)}
SMALL = {"n": 32, "d": 384, "L": 6}
COSTS = (
    Cost(
        "CKA, Gram space",
        _cka,
        {"n": 2_000, "d": 768, "L": 12},
        GRAM | {"L": ((6, 12, 24, 48), 1)},
    ),
    Cost("CKA, feature space", _cka, {"n": 16_000, "d": 256, "L": 4}, FEATURE),
    Cost("activation dump", _of_encoder(depths.dump_activations), SMALL, ENCODER),
    Cost("UNTUNED", _of_encoder(depths.untuned), SMALL, ENCODER),
    Cost("TUNED, 3 epochs", _of_encoder(depths.tuned), SMALL, ENCODER),
    Cost("every span", _of_encoder(depths.spans), SMALL | {"n": 16}, SPANS),
    Cost("variability", _of_encoder(variability.strata), SMALL, ENCODER),
    Cost("fine-tuning", _of_encoder(partial(training.strata, batch_size=4)), SMALL, ENCODER),
)
# What should stream, at sizes whose data would show if they were kept in memory.
STREAMED = {
    "CKA, Gram space": ({"d": 768, "L": 12}, (1_000, 2_000, 4_000, 8_000)),
    "CKA, feature space": ({"d": 256, "L": 4}, (4_000, 8_000, 16_000, 32_000)),
    "activation dump": ({"d": 384, "L": 2}, (2_000, 4_000, 8_000)),
}
BOUNDED = {"CKA, Gram space", "CKA, feature space"}


def seconds() -> pd.DataFrame:
    """Columns cost, varied, value, n, d, L, seconds, exponent.

    One run, or the faster of two if they are so short that other work on the machine shows.
    """
    records = []
    for cost in COSTS:
        warm = False
        for varied, (values, exponent) in cost.varied.items():
            for value in values:
                size = {**cost.size, varied: value}
                with tempfile.TemporaryDirectory(prefix="strata-bench-") as folder:
                    run = cost.make(Path(folder), size)
                    if not warm:
                        run()
                        warm = True
                    taken = _seconds(run)
                    if taken < SHORT:
                        taken = min(taken, _seconds(run))
                about = {"cost": cost.name, "varied": varied, "value": value, **size}
                records.append(about | {"seconds": taken, "exponent": exponent})
        print(f"growth of {cost.name}: done", flush=True)
    return pd.DataFrame(records)


def _seconds(run: Run) -> float:
    wait_for_gpu()
    began = time.perf_counter()
    run()
    wait_for_gpu()
    return time.perf_counter() - began


def memory() -> pd.DataFrame:
    """Columns cost, n, data_mb (read or written, all depths), peak_mb, bound_mb (or none)."""
    sizes = [
        (cost, {**fixed, "n": n}) for cost, (fixed, values) in STREAMED.items() for n in values
    ]
    dumped = iter(_in_fresh_processes(_dumped, [s for cost, s in sizes if cost not in BOUNDED]))
    records = []
    for cost, size in sizes:
        bounded = cost in BOUNDED
        record = {"cost": cost, "n": size["n"]}
        record["data_mb"] = 4 * size["n"] * size["d"] * size["L"] / 2**20
        record["peak_mb"] = _traced(_cka(Path(), size, MEMORY_MB)) if bounded else next(dumped)
        records.append(record | {"bound_mb": MEMORY_MB if bounded else None})
    return pd.DataFrame(records)


def _in_fresh_processes(work: Callable[[Size], float], sizes: list[Size]) -> list[float]:
    # Return freed memory to the system at once. By default glibc keeps up to 350 MB of it here,
    # which depends more on the order of the batches' lengths than on n.
    with (
        patch.dict(os.environ, {"MALLOC_MMAP_THRESHOLD_": str(2**20)}),
        ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        return list(fresh.map(work, sizes))


def _dumped(size: Size) -> float:
    """Peak MB of a dump beyond what the process held with model and texts.

    Torch's memory is not Python's, so the process's memory is measured.
    """
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as folder:
        run = _of_encoder(depths.dump_activations)(Path(folder), size)
        before = psutil.Process().memory_info().rss
        forget_peak()
        run()
        return (peak() - before) / 2**20


def _traced(run: Run) -> float:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
