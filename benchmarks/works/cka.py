"""CKA between all pairs of depths of one stack of representations, both estimators."""

from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np

from works import Run, Work, largest_difference

SIZES = ((12, 2_000, 768), (12, 6_000, 768), (25, 2_000, 1_024), (25, 20_000, 1_024))
IN_MEMORY = 1e10  # bytes of all Gram matrices; with more, peers that keep them are not run
RESAMPLES = 100  # half-samples of the standard errors
MANY = 2_000  # rows, above which the float64 reference takes few depths: all would take minutes


def prepare(folder: Path, size: tuple[int, int, int]) -> None:
    """A residual stream: a low-rank part that each depth adds to, noise, and a mean."""
    depths, n, features = size
    rng = np.random.default_rng(0)
    shape = (depths, n, features)
    values = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, shape)
    state = 3 + rng.standard_normal((n, features), np.float32)
    for depth in range(depths):
        left = rng.standard_normal((n, 32), np.float32)
        state += left @ rng.standard_normal((32, features), np.float32) / 8
        state += 0.3 * rng.standard_normal((n, features), np.float32)
        values[depth] = state
    values.flush()


def load(folder: Path) -> np.ndarray:
    return np.load(folder / "x.npy", mmap_mode="r")


def strata(folder: Path, mapped: bool) -> Run:
    from strata.analysis.cka import alignment

    values = load(folder) if mapped else np.array(load(folder))

    def run() -> np.ndarray:
        both = alignment(values, values)
        return np.stack([both.biased, both.debiased])

    return run


def strata_with_errors(folder: Path) -> Run:
    from strata.analysis.half_samples import half_samples, standard_error

    values, alone = np.array(load(folder)), strata(folder, mapped=False)

    def run() -> np.ndarray:
        found = alone()
        halves = half_samples(values, values, RESAMPLES)
        each = (halves.biased, halves.debiased)
        return np.concatenate([found, [standard_error(own, halves.scale) for own in each]])

    return run


def one_half_sample(folder: Path) -> Run:
    """The map of one half-sample's rows, which are copied first."""
    from strata.analysis.cka import alignment
    from strata.analysis.half_samples import draw_halves

    values = np.array(load(folder))
    _, weights = draw_halves(values.shape[1], RESAMPLES, 0)

    def run() -> None:
        half = values[:, weights[:, 0] == 1]
        alignment(half, half)

    return run


def floor(folder: Path, rows: int | None) -> Run:
    """Only Gram matrices, the half that symmetry leaves, one depth after another."""
    from scipy.linalg.blas import ssyrk

    values = [np.asfortranarray(own[:rows].T) for own in load(folder)]

    def run() -> None:
        for own in values:
            ssyrk(1.0, own, trans=1)

    return run


def pytorch_cka(folder: Path) -> Run:
    import torch
    from cka import cka_from_features

    values = torch.from_numpy(np.array(load(folder)))

    def run() -> np.ndarray:
        debiased = cka_from_features(values, values).numpy()
        return np.stack([np.full_like(debiased, np.nan), debiased])

    return run


def ckatorch(folder: Path) -> Run:
    import torch
    from ckatorch import cka_base

    first, second = torch.from_numpy(np.array(load(folder)[:2]))

    def run() -> None:
        for unbiased in (False, True):
            cka_base(first, second, unbiased=unbiased)

    return run


def thingsvision(folder: Path) -> Run:
    import sys
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    # Its own __init__ imports tensorflow and vision models, which CKA does not need.
    sys.modules["thingsvision"] = module_from_spec(PathFinder.find_spec("thingsvision"))
    from thingsvision.core.cka.cka_numpy import CKANumPy

    first, second = np.array(load(folder)[:2])
    both = [CKANumPy(m=len(first), kernel="linear", unbiased=own) for own in (False, True)]

    def run() -> None:
        for estimator in both:
            estimator.compare(first, second)

    return run


def textbook(folder: Path) -> Run:
    """tr(KHLH) / sqrt(tr(KHKH) tr(LHLH)) of one pair, literally; biased only."""
    first, second = np.array(load(folder)[:2])
    n = len(first)

    def run() -> None:
        centring = np.eye(n, dtype=np.float32) - np.float32(1 / n)
        k, l = (centring @ (own @ own.T) @ centring for own in (first, second))
        (k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum())

    return run


def reference(folder: Path, size: tuple[int, int, int]) -> np.ndarray:
    """Both estimators by their definitions in float64, a block of Gram rows at a time."""
    depths, n, _ = size
    chosen = range(depths) if n <= MANY else (0, depths - 1)
    values = {depth: load(folder)[depth].astype(np.float64) for depth in chosen}
    centred = {depth: own - own.mean(0) for depth, own in values.items()}
    pairs = list(combinations_with_replacement(chosen, 2))
    biased = dict.fromkeys(pairs, 0.0)
    products = dict.fromkeys(pairs, 0.0)
    sums = {depth: np.empty(n) for depth in chosen}
    for begin in range(0, n, 500):
        rows = slice(begin, begin + 500)
        grams = {depth: own[rows] @ own.T for depth, own in centred.items()}
        for pair in pairs:
            biased[pair] += np.vdot(grams[pair[0]], grams[pair[1]])
        for depth, own in grams.items():
            np.fill_diagonal(own[:, begin:], 0)
            sums[depth][rows] = own.sum(1)
        for pair in pairs:
            products[pair] += np.vdot(grams[pair[0]], grams[pair[1]])

    def unbiased(i: int, j: int) -> float:  # Song et al. 2012, equation 5
        total = sums[i].sum() * sums[j].sum() / ((n - 1) * (n - 2))
        return products[i, j] + total - 2 / (n - 2) * sums[i] @ sums[j]

    found = np.full((2, depths, depths), np.nan)
    for i, j in pairs:
        found[0, i, j] = found[0, j, i] = biased[i, j] / np.sqrt(biased[i, i] * biased[j, j])
        ratio = unbiased(i, j) / np.sqrt(unbiased(i, i) * unbiased(j, j))
        found[1, i, j] = found[1, j, i] = ratio
    return found


def error(result: np.ndarray, truth: np.ndarray) -> float:
    both = zip(result, truth, strict=True)
    return max(largest_difference(*own) for own in both if not np.isnan(own[0]).all())


def work(size: tuple[int, int, int]) -> Work:
    depths, n, features = size
    pairs = depths * (depths + 1) // 2
    large = depths * n * n * 4 > IN_MEMORY
    rows = 4_000 if large else None
    contestants = {"strata": partial(strata, mapped=large), "floor": partial(floor, rows=rows)}
    goals, scale, notes = {"floor": 1 / 1.25}, {}, {}
    if large:
        scale["floor"] = (n / rows) ** 2
        notes["floor"] = f"{rows:,} rows, times {scale['floor']:g}"
        notes["strata"] = "no peer: all Gram matrices are 40 GB"
    else:
        contestants["pytorch-cka"] = pytorch_cka
        goals["pytorch-cka"] = 4.0
        notes["pytorch-cka"] = "debiased only"
    if size == SIZES[0]:
        one_by_one = {"ckatorch": ckatorch, "thingsvision": thingsvision, "textbook": textbook}
        contestants |= one_by_one
        for name in one_by_one:
            scale[name] = pairs
            notes[name] = f"one pair, times {pairs}"
        notes["textbook"] += "; biased only"
    return Work(
        name="CKA, all pairs",
        size=f"{depths} x {n:,} x {features:,}",
        prepare=partial(prepare, size=size),
        contestants=contestants,
        goals=goals,
        gflop=depths * n * n * features / 1e9,
        scale=scale,
        reference=partial(reference, size=size),
        error=error,
        notes=notes,
        warm_up=not large,  # each of its runs takes most of a minute
    )


WORKS = {f"cka-{'x'.join(map(str, size))}": work(size) for size in SIZES}
WORKS["cka-errors"] = Work(
    name="CKA with standard errors",
    size=" x ".join(f"{number:,}" for number in SIZES[0]),
    prepare=partial(prepare, size=SIZES[0]),
    contestants={
        "strata": strata_with_errors,
        "the map alone": partial(strata, mapped=False),
        "one by one": one_half_sample,
    },
    goals={"the map alone": 1 / 6},
    scale={"one by one": RESAMPLES},
    notes={
        "strata": f"the map and {RESAMPLES} half-samples",
        "one by one": f"the map of one half-sample, times {RESAMPLES}",
    },
)
