"""Examples split by purpose, so that the examples that choose never judge."""

import numpy as np
import pandas as pd

TRAIN, CHOOSE, JUDGE = "train", "choose", "judge"  # what examples are for, in files
SEED = 0  # the same examples for every model, run and method


def withhold(examples: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(kept, withheld): a share of the examples drawn at random, at least four, in order."""
    count = min(max(round(share * len(examples)), 4), len(examples) - 1)
    return _parted(examples, count)


def halve(examples: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two halves of the examples, drawn at random, in order."""
    return _parted(examples, len(examples) // 2)


def _parted(examples: pd.DataFrame, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    drawn = np.random.default_rng(SEED).permutation(len(examples)) < count
    parts = (examples[~drawn], examples[drawn])
    return parts[0].reset_index(drop=True), parts[1].reset_index(drop=True)
