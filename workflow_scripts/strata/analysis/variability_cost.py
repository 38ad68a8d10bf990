"""What nu costs, so that it can be compared with the fine-tuning that it is to save."""

import time

import numpy as np
import pandas as pd

from strata.analysis.variability import values_of_samples


class Stopwatch:
    """Seconds spent inside its blocks, all together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.began


def nu_seconds(vectors: np.ndarray, rows: np.ndarray, codes: np.ndarray) -> float:
    """What nu alone takes at all depths, from representations that are there.

    Parameters
    ----------
    vectors : [depths, rows, features], an array or an HDF5 dataset.
    rows : numbers of the rows that are in a class.
    codes : [rows], the class of each of these.
    """
    with (watch := Stopwatch()):
        for of_depth in vectors:
            values_of_samples(np.asarray(of_depth[rows], dtype=np.float64), codes[None])
    return watch.seconds


def cost_table(
    model: str, task: str, device: str, examples: int, forward: float, nu: float
) -> pd.DataFrame:
    """One row: what nu costs from the texts on, whatever else its job measures.

    Parameters
    ----------
    device : that the encoder ran on, as in run.json.
    examples : that nu is taken from.
    forward : seconds of the encoder's pass over them, tokenising and writing included.
    nu : seconds of nu itself at all depths.

    Returns
    -------
    columns model, task, device, examples, forward_seconds, nu_seconds, seconds (of both).
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
