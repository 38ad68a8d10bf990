"""How the cost of CKA grows with n, d and L, and its memory with n."""

import time
import tracemalloc

import numpy as np
import pandas as pd

from strata.similarity import alignment

# What varies, its values, and the rest; the theory's exponent of time in each space.
SERIES = [
    ("n", "Gram space", (1_000, 2_000, 4_000, 8_000), {"depths": 12, "d": 768}, 2),
    ("n", "feature space", (4_000, 8_000, 16_000, 32_000), {"depths": 4, "d": 256}, 1),
    ("d", "Gram space", (250, 500, 1_000, 2_000), {"depths": 12, "n": 2_000}, 1),
    ("depths", "Gram space", (6, 12, 24, 48), {"d": 512, "n": 2_000}, 1),
]
MEMORY_MB = 64  # alignment's own bound, small beside the data


def measure(rounds: int = 3) -> pd.DataFrame:
    """Columns varied, space, value, seconds (median), peak_mb (of `MEMORY_MB`), exponent."""
    rng = np.random.default_rng(0)
    records = []
    for varied, space, sizes, fixed, exponent in SERIES:
        for value in sizes:
            size = {**fixed, varied: value}
            shape = (size["depths"], size["n"], size["d"])
            values = rng.standard_normal(shape, np.float32)
            record = {"varied": varied, "space": space, "value": value, "exponent": exponent}
            seconds = [_seconds(values) for _ in range(rounds + 1)][1:]
            records.append(record | {"seconds": np.median(seconds), "peak_mb": _peak(values)})
    return pd.DataFrame(records)


def _seconds(values: np.ndarray) -> float:
    began = time.perf_counter()
    alignment(values, values)
    return time.perf_counter() - began


def _peak(values: np.ndarray) -> float:
    tracemalloc.start()
    try:
        alignment(values, values, MEMORY_MB)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
