"""What nu costs, for comparison with the fine-tuning that it is meant to save."""

import time

import numpy as np
import pandas as pd

from strata.analysis.variability import values_of_samples


class Stopwatch:
    """Total seconds spent inside its blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.began


def nu_seconds(vectors: np.ndarray, rows: np.ndarray, codes: np.ndarray) -> float:
    """Seconds that nu alone takes at all depths, from existing representations.

    Parameters
    ----------
    vectors : ndarray of shape (depths, rows, features)
        An array or an HDF5 dataset.
    rows : ndarray
        Indices of the rows that are in a class.
    codes : ndarray of shape (rows,)
        The class of each of these rows.
    """
    with (watch := Stopwatch()):
        for of_depth in vectors:
            values_of_samples(np.asarray(of_depth[rows], dtype=np.float64), codes[None])
    return watch.seconds


def cost_table(
    model: str, task: str, device: str, examples: int, forward: float, nu: float
) -> pd.DataFrame:
    """One row: what nu costs, starting from texts, apart from what else its job measures.

    Parameters
    ----------
    device : str
        The device that the encoder ran on, as in run.json.
    examples : int
        The number of examples that nu is computed from.
    forward : float
        Seconds of the encoder's pass over them, including tokenising and writing.
    nu : float
        Seconds of nu itself at all depths.

    Returns
    -------
    DataFrame
        Columns model, task, device, examples, forward_seconds, nu_seconds, seconds (of both).
    """
    row = {
        "model": model,
        "task": task,
        "device": device,
        "examples": examples,
        "forward_seconds": round(forward, 3),
        "nu_seconds": round(nu, 3),
        "seconds": round(forward + nu, 3),
    }
    return pd.DataFrame([row])
