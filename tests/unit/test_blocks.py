"""Blocks of depths: the rule against a second implementation, and the words for what it finds.

How often it is wrong: tests/errors/test_blocks_errors.py.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from strata.analysis.block_tables import block_words, blocks_table, made_blocks, state_blocks
from strata.analysis.blocks import (
    ONE_SIDED_95,
    StateMaps,
    block_finding,
    compared,
    own_blocks,
    placings,
    separations,
    state_maps,
)
from strata.analysis.cka import alignment, cka_matrix
from strata.analysis.half_samples import half_samples
from strata.runtime.errors import StrataError
from strata.study.settings import CkaSettings

LAYERS = [3, 4, 5, 6, 8, 11, 12, 13, 23, 24, 25]
SETTINGS = CkaSettings(choice="positions", resamples=30, memory_mb=256)


def all_placings(kind, layers):
    """(i, j, k) of every admissible placing, from the issue's letter: every i < j < k is tried."""
    g = 0 if layers < 12 else 1 if layers < 24 else 2
    least = max(2, layers // 4)
    for k in range(1, layers + 1):
        for j in range(1, k):
            left_out, late = k - j - 1, layers - k + 1
            if left_out > g:
                continue
            if kind == "late":
                deep = layers >= 12
                # j = 1, k = 4 with 24 layers would make a block out of an unusual first depth.
                if j > 1 and k >= (4 if deep else 3) and late >= (3 if deep else 2) + left_out:
                    yield None, j, k
            else:
                for i in range(1, j + 1):
                    fits = i == 1 or (i == 2 and layers >= 12)
                    if fits and j - i + 1 >= least and late >= least:
                        yield i, j, k


def separation(values, i, j, k):
    """Of one placing, pair by pair."""
    layers, late = len(values), i is None
    i = i or 1
    within, across = [], []
    for a in range(1, layers + 1):
        for b in range(a + 1, layers + 1):
            value = values[a - 1, b - 1]
            if a >= k or (not late and i <= a and b <= j):
                within.append(value)
            elif i <= a <= j and b >= k:
                across.append(value)
    return min(within) - max(across)


def best_placing(values, kind):
    """Among equals, what leaves out least."""
    return max(all_placings(kind, len(values)), key=lambda p: (separation(values, *p), p[1] - p[2]))


def random_map(layers, seed=0):
    values = np.random.default_rng(seed).uniform(-0.2, 1, (layers, layers))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    return values


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("kind", ["late", "two"])
def test_separations_of_all_placings(kind, layers):
    values, wanted = random_map(layers), list(all_placings(kind, layers))
    places = placings(kind, layers)
    found = dict(
        zip(
            [(p.early_begin, p.early_end, p.late_begin) for p in places],
            separations(values, places),
            strict=True,
        )
    )
    assert len(places) == len(wanted) and set(found) == set(wanted)
    for place in wanted:
        assert found[place] == pytest.approx(separation(values, *place))
    assert bool(wanted) == (layers >= 4)


@pytest.mark.parametrize("kind", ["late", "two"])
def test_the_placing_of_the_largest_separation_its_bound_and_its_description(kind):
    layers, scale = 12, 0.7
    value = random_map(layers, 1)
    halves = np.stack([random_map(layers, seed) for seed in range(2, 22)])
    block = getattr(own_blocks(StateMaps(value, halves, scale)), kind)
    best = best_placing(value, kind)
    assert (block.early_begin, block.early_end, block.late_begin) == best
    assert block.separation == pytest.approx(separation(value, *best))
    se = scale * np.std([separation(half, *best) for half in halves], ddof=1)
    assert block.separation_se == pytest.approx(se)
    assert block.separation_low == pytest.approx(block.separation - 1.645 * se)
    assert block.found == (block.separation_low > 0) and not block.made
    own = [best_placing(half, kind) for half in halves]
    assert block.agree_early_end == np.mean([j == best[1] for _, j, _ in own])
    assert block.agree_late_begin == np.mean([k == best[2] for _, _, k in own])
    assert block.step == pytest.approx(1 - value[best[1] - 1, best[2] - 1])


def test_many_maps_at_once_are_as_one_by_one():
    maps = np.stack([random_map(12, seed) for seed in range(4)]).reshape(2, 2, 12, 12)
    together = separations(maps, placings("two", 12))
    assert together.shape == (2, 2, len(placings("two", 12)))
    assert np.array_equal(together[1, 0], separations(maps[1, 0], placings("two", 12)))


def blocky(layers=6, late=4, within=0.9, across=0.2, spread=0.01, seed=0):
    """Maps of an encoder with two blocks, whose half-samples differ by `spread`."""
    side = np.arange(1, layers + 1) >= late
    value = np.where(side[:, None] == side[None, :], within, across)
    noise = np.random.default_rng(seed).standard_normal((50, layers, layers)) * spread
    return StateMaps(value, value + (noise + noise.swapaxes(1, 2)) / 2, 1.0)


def flat(**changes):
    return blocky(within=0.5, across=0.5, **changes)


def test_what_fine_tuning_made_the_pretrained_encoder_does_not_have():
    made = compared(blocky(), flat(seed=1))
    assert made.late.found and made.late.made and made.two.made
    assert (made.late.early_end, made.late.late_begin) == (3, 4)
    assert (made.two.early_begin, made.two.early_end, made.two.late_begin) == (1, 3, 4)
    assert made.late.separation == pytest.approx(0.7)
    assert made.late.made_difference == pytest.approx(0.7)
    had = compared(blocky(), blocky(within=0.5, across=0.4, seed=1))
    assert had.late.found and not had.late.made and had.late.made_low > 0
    assert not compared(flat(), blocky()).late.made


def test_what_is_not_more_than_before_was_not_made():
    # Neither encoder is sharp enough to be found alone, or by the difference.
    after = blocky(within=0.50, across=0.40, spread=0.02)
    before = blocky(within=0.48, across=0.44, spread=0.2, seed=1)
    found = compared(after, before).late
    assert found.found and not found.made and found.made_low < 0
    paired = StateMaps(before.value, after.halves - 0.06, 1.0)
    assert not compared(after, paired).late.made  # its own search finds it


def test_an_odd_first_or_last_depth_is_no_block():
    for layers in (6, 12, 24):
        for odd in (0, -1):
            value = np.full((layers, layers), 0.9)
            value[odd], value[:, odd] = 0.1, 0.1
            found = own_blocks(StateMaps(value, np.stack([value, value]), 1.0))
            assert not found.late.found and not found.two.found


def test_undefined_depths_are_in_no_placing():
    maps = blocky(layers=12, late=7)
    maps.value[0], maps.value[:, 0] = np.nan, np.nan
    found = own_blocks(maps)
    assert not found.late.found and np.isnan(found.late.separation)  # depth 1 is below every k
    assert found.two.found and found.two.early_begin == 2
    nothing = own_blocks(StateMaps(maps.value * np.nan, maps.halves, 1.0))
    assert np.isnan(nothing.two.separation_low) and nothing.two.late_begin is None


def test_an_undefined_half_sample_leaves_no_bound():
    maps = blocky()
    maps.halves[3] = np.nan
    found = own_blocks(maps).late
    assert found.separation == pytest.approx(0.7)
    assert np.isnan(found.separation_low) and not found.found


@cache
def states(shared, layers=6, n=120, d=40, seed=0):
    """[depths, n, d]: the last three depths share this much of their variance, others nothing."""
    rng = np.random.default_rng(seed)
    own, common = rng.standard_normal((layers, n, d)), rng.standard_normal((n, d))
    own[3:] = np.sqrt(1 - shared) * own[3:] + np.sqrt(shared) * common
    return own


def test_blocks_from_representations():
    tuned, original = states(0.9), states(0, seed=1)
    found = block_finding(tuned, original, resamples=40, seed=5)
    assert found.late.found and found.late.made and found.late.late_begin == 4
    assert not found.two.found and not found.two.made  # the first three depths share nothing
    assert found.late.early_begin is None and found.late.early_end == 3
    values = cka_matrix(tuned, tuned, debiased=True)
    assert found.late.separation == pytest.approx(separation(values, None, 3, 4))
    halves = half_samples(tuned, tuned, 40, 5).debiased
    se = np.std([separation(half, None, 3, 4) for half in halves], ddof=1)
    assert found.late.separation_low == pytest.approx(found.late.separation - ONE_SIDED_95 * se)
    before = half_samples(original, original, 40, 5).debiased
    paired = [
        separation(a, None, 3, 4) - separation(b, None, 3, 4)
        for a, b in zip(halves, before, strict=True)
    ]
    low = found.late.made_difference - ONE_SIDED_95 * np.std(paired, ddof=1)
    assert found.late.made_low == pytest.approx(low)


def test_too_few_layers_or_examples():
    short = block_finding(states(0.9, layers=3), states(0, layers=3))
    assert not short.late.found and np.isnan(short.late.separation)
    few = block_finding(states(0.9, n=6), states(0, n=6))
    assert not few.late.found and np.isnan(few.late.separation_low)
    with pytest.raises(ValueError, match="must be the same"):
        block_finding(states(0.9), states(0.9, layers=5))


def test_choices_are_compared_at_their_positions():
    """Rows of an example share a prompt, a different one in each depth: depths are not alike."""
    prompts = np.repeat(np.random.default_rng(2).standard_normal((6, 60, 30)), 2, axis=1)
    tuned, original = states(0.9, d=30) + prompts, states(0, d=30, seed=1) + prompts
    maps = state_maps(tuned, 20, 0, choices=2)
    assert np.array_equal(maps.value, alignment(tuned, tuned, choices=2).debiased)
    assert np.array_equal(maps.halves, half_samples(tuned, tuned, 20, choices=2).debiased)
    found = block_finding(tuned, original, 20, choices=2)
    assert (
        found.late.made
        and found.late == compared(maps, state_maps(original, 20, 0, choices=2)).late
    )


# ---------------------------------------------------------------- the table, and its words


class File:
    """What is used of an open activation file."""

    def __init__(self, state, values, labels=None, choices=1):
        self.path, self.attributes, self.choices = f"{state}.h5", {"state": state}, choices
        self.poolings, self.values = ["raw", "mean"], values
        count = values.shape[1] // choices
        labels = np.zeros(count, int) if labels is None else labels
        self.table = pd.DataFrame({"example_id": range(count), "label": labels})

    def depths(self, pooling):
        return list(range(0 if pooling == "mean" else 1, 7))

    def vectors(self, pooling):
        if pooling == "raw":
            return self.values
        return np.concatenate([self.values[:1] * 0, self.values])  # depth 0 of the mean

    def examples(self):
        return self.table


@cache
def run_table(seed, shared, before):
    tuned, original = (
        File(f"full-seed{seed}", states(shared, seed=seed)),
        File("pretrained", states(before, seed=9)),
    )
    return state_blocks(tuned, original, SETTINGS)


def pair_table(shared=(0.9, 0.9), before=0.0, failed=()):
    """The table of a pair with a run for each of `shared`."""
    tables = [run_table(seed, each, before) for seed, each in enumerate(shared, 1)]
    runs = {seed: SimpleNamespace(failed=seed in failed) for seed in range(1, len(shared) + 1)}
    return blocks_table("m", "t", tables, runs)


def test_the_table_has_every_run_and_the_pretrained_encoder_once():
    table = pair_table()
    assert len(table) == 3 * 2 * 2  # states, poolings, kinds
    assert not table.duplicated(["state", "pooling", "kind"]).any()
    late = table.query("kind == 'late' and pooling == 'raw'").set_index("state")
    assert late.loc["full-seed2", "late_begin"] == 4 and late.loc["full-seed2", "seed"] == 2
    assert late["made_in_every_run"].tolist() == [True, False, True]  # pretrained: no run
    assert pd.isna(late.loc["pretrained", "seed"]) and not late.loc["pretrained", "found"]
    assert (late["layers"] == 6).all() and (late["n"] == 120).all()
    runs = late.drop("pretrained")
    assert (runs["seeds_agree_late_begin"] == 1).all() and (runs["agree_late_begin"] > 0.9).all()
    mean = table.query("kind == 'late' and pooling == 'mean'").set_index("state")
    assert np.array_equal(mean["separation"], late["separation"])  # without its depth 0


def test_made_means_in_every_run_that_did_not_fail():
    both = pair_table()
    assert made_blocks(both).late_begin == 4 and made_blocks(both).early_end is None
    one = pair_table((0.9, 0.0))
    assert made_blocks(one).late_begin is None
    assert not one["made_in_every_run"].any()
    without = pair_table((0.9, 0.0), failed=(2,))
    assert made_blocks(without).late_begin == 4
    assert made_blocks(pair_table(failed=(1, 2))).late_begin is None


def test_made_are_the_depths_that_every_run_has_in_its_block(tmp_path):
    table = pair_table()
    table.loc[(table["state"] == "full-seed2") & (table["kind"] == "late"), "late_begin"] = 5
    table.to_csv(tmp_path / "blocks.csv", index=False)
    read = pd.read_csv(tmp_path / "blocks.csv")
    assert made_blocks(read).late_begin == 5
    assert "depths 4-6 or 5-6, by seed" in block_words(read)


def test_words_claim_only_what_was_found():
    words = block_words(pair_table())
    assert words.startswith("fine-tuning made a late block, depths 4-6 (separation 0.")
    assert "; no two blocks found (separation " in words and words.endswith(
        " (2 seeds, 120 examples)"
    )
    some = block_words(pair_table((0.9, 0.0)))
    assert some.startswith("in 1 of 2 runs a late block, depths 4-6 (") and "made" not in some
    had = block_words(pair_table((0.9, 0.9), before=0.9))
    assert "as in the pretrained encoder" in had and "made" not in had
    none = block_words(pair_table((0.0, 0.0)))
    assert none.startswith("no late block found (separation -0.") and "lower bound" not in none
    one = block_words(pair_table((0.0, 0.9), failed=(1,)))
    assert one.startswith("fine-tuning made") and one.endswith(" (1 seed, 120 examples)")
    assert block_words(pair_table(failed=(1, 2))).startswith("every run failed")
    undefined = pair_table().assign(separation=np.nan, separation_low=np.nan, found=False)
    assert block_words(undefined).startswith("blocks cannot be told")


def test_gold_choices_alone_are_one_row_an_example():
    labels = np.random.default_rng(0).integers(0, 2, 60)
    tuned, original = states(0.9), states(0, seed=9)
    files = [File("full-seed1", tuned, labels, 2), File("pretrained", original, labels, 2)]
    gold = state_blocks(*files, CkaSettings("gold", 30, 256)).query("pooling == 'raw'").iloc[0]
    rows = np.arange(60) * 2 + labels
    alone = block_finding(tuned[:, rows], original[:, rows], 30).late
    assert gold["separation"] == pytest.approx(alone.separation)
    assert (gold["n"], gold["n_examples"]) == (60, 60)
    both = state_blocks(*files, SETTINGS).iloc[0]
    assert (both["n"], both["n_examples"]) == (120, 60)


def test_files_of_other_examples_are_refused():
    with pytest.raises(StrataError, match="contain different examples"):
        state_blocks(File("full-seed1", states(0.9)), File("pretrained", states(0, n=60)), SETTINGS)
