"""CKA of halves of the examples (placeholder until the branch `similarity` is merged)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HalfSamples:
    biased: np.ndarray
    debiased: np.ndarray
    scale: float


def half_samples(
    y: np.ndarray,
    x: np.ndarray,
    resamples: int = 100,
    seed: int = 0,
    memory_mb: float = 2048,
    choices: int = 1,
) -> HalfSamples:
    n = y.shape[1]
    rng = np.random.default_rng(seed)
    m = n // 2
    weights = np.zeros((n, resamples), np.float32)
    for r in range(resamples):
        weights[rng.permutation(n)[:m], r] = 1
    ky, kx = _grams(y), None
    kx = ky if y is x else _grams(x)
    hy, hx = [k @ weights * weights for k in ky], [k @ weights * weights for k in kx]
    hsic = np.empty((len(ky), len(kx), resamples))

    def one(a, b, ra, rb):
        first = np.einsum("nr,nr->r", (a * b) @ weights, weights)
        rows = np.einsum("nr,nr->r", ra, rb)
        totals = ra.sum(0, dtype=float) * rb.sum(0, dtype=float)
        return first + totals / ((m - 1) * (m - 2)) - 2 / (m - 2) * rows

    for i in range(len(ky)):
        for j in range(len(kx)):
            if y is x and j < i:
                hsic[i, j] = hsic[j, i]
            else:
                hsic[i, j] = one(ky[i], kx[j], hy[i], hx[j])
    if y is x:
        sy = sx = np.array([hsic[i, i] for i in range(len(ky))])
    else:
        sy = np.array([one(a, a, r, r) for a, r in zip(ky, hy)])
        sx = np.array([one(a, a, r, r) for a, r in zip(kx, hx)])
    with np.errstate(invalid="ignore", divide="ignore"):
        values = hsic / np.sqrt(sy[:, None] * sx[None])
    values = np.moveaxis(values, 2, 0)
    return HalfSamples(values, values, 1.0)


def _grams(values: np.ndarray) -> list[np.ndarray]:
    grams = []
    for each in values:
        centred = np.asarray(each, np.float32) - each.mean(0, dtype=np.float64).astype(np.float32)
        gram = centred @ centred.T
        np.fill_diagonal(gram, 0)
        grams.append(gram)
    return grams
