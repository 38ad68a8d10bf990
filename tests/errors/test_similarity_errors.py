"""The standard error of CKA against its true spread: independent draws of known populations.

Column i of a draw is lambda_i times a standard normal number. A second layer keeps a share s of
the variance of each column and has fresh noise for the rest, so that their CKA is s squared,
whatever the lambdas are.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.rates import publish, repeats
from strata.analysis.cka import alignment
from strata.analysis.half_samples import half_samples, standard_error

CKA = (0.9, 0.5, 0.1, 0.0)
DRAWS = repeats(120, 400)
WITH_ERROR = repeats(12, 40)  # draws for which the standard error is computed as well
LOW, HIGH = 0.8, 2.1


@dataclass(frozen=True)
class Population:
    """Layers of `features` columns, the variance of column i being i to the power of -`decay`.

    With several choices a share `prompt` of the variance belongs to the example.
    """

    n: int
    features: int
    decay: float
    choices: int = 1
    prompt: float = 0.0
    draws: int = DRAWS

    def layer(self, rng: np.random.Generator) -> np.ndarray:
        own = rng.standard_normal((self.n * self.choices, self.features), np.float32)
        if self.choices > 1:
            shared = rng.standard_normal((self.n, self.features), np.float32)
            shared = np.repeat(shared, self.choices, axis=0)
            own = np.sqrt(1 - self.prompt) * own + np.sqrt(self.prompt) * shared
        return own * np.arange(1, self.features + 1, dtype=np.float32) ** (-self.decay / 2)

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """A layer (1, rows, features), and one for each CKA (4, rows, features)."""
        rng = np.random.default_rng(seed)
        first = self.layer(rng)
        others = [
            np.float32(cka**0.25) * first + np.float32((1 - cka**0.5) ** 0.5) * self.layer(rng)
            for cka in CKA
        ]
        return first[None], np.stack(others)


POPULATIONS = {
    "CoLA's size": Population(n=1043, features=64, decay=1.0),
    "RTE's size, few directions": Population(n=277, features=768, decay=1.0, draws=repeats(0, 400)),
    "RTE's size, d above n": Population(n=277, features=768, decay=0.0),
    "few examples": Population(n=60, features=16, decay=0.5),
    "more than 4,000": Population(n=6000, features=32, decay=0.5, draws=repeats(0, 200)),
    "multiple choice": Population(n=300, features=64, decay=1.0, choices=4, prompt=0.8),
}


def errors(name: str, population: Population) -> pd.DataFrame:
    """One row per CKA and estimator: its true spread, and what half-samples estimate."""
    values, said = [], []
    for seed in range(population.draws):
        y, x = population.draw(seed)
        both = alignment(y, x, choices=population.choices)
        values.append((both.biased[0], both.debiased[0]))
        if seed < WITH_ERROR:
            halves = half_samples(y, x, seed=seed, choices=population.choices)
            each = (halves.biased[:, 0], halves.debiased[:, 0])
            said.append([standard_error(own, halves.scale) for own in each])
    true = np.std(values, axis=0, ddof=1)
    ratio = np.array(said) / true
    rows = [
        {
            "population": name,
            "n": population.n,
            "d": population.features,
            "CKA": cka,
            "estimator": estimator,
            "true error": true[e, c],
            "mean se": np.mean(said, axis=0)[e, c],
            "ratio": ratio[:, e, c].mean(),
            "lowest ratio": ratio[:, e, c].min(),
            "highest ratio": ratio[:, e, c].max(),
        }
        for c, cka in enumerate(CKA)
        for e, estimator in enumerate(("biased", "debiased"))
    ]
    return pd.DataFrame(rows)


def test_the_standard_error_is_what_cka_varies_by():
    """At least 0.8 times the true error and at most 2.1 times: too much near 0 and with d >= n."""
    table = pd.concat(errors(name, own) for name, own in POPULATIONS.items() if own.draws)
    publish("similarity", table)
    assert table["ratio"].between(LOW, HIGH).all(), table.to_string()
    usual = table.query("CKA >= 0.1 and d < n and n > 100")
    assert usual["ratio"].between(LOW, 1.3).all(), usual.to_string()
