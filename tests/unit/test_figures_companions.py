"""Figures of the companion studies: drawn without a warning, nothing missing, nothing cut off."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.text import Text

from strata.analysis.agreement import METHODS, suggested_depths
from strata.analysis.block_tables import MadeBlocks
from strata.analysis.paired import SAME
from strata.figures import style as drawing
from strata.figures.agreement import correlation_map, methods_by_depth
from strata.figures.controls import OF_ONE, OF_TWO, controls_by_depth
from strata.figures.reinit import FIGURES
from strata.figures.variability import claim_words, robustness, variability_and_selection
from strata.study.plans import planned_runs, selection_variants
from strata.study.settings import FigureStyle

pytestmark = pytest.mark.slow
LABELS = {"m": "Model", "t": "Task", "accuracy": "Accuracy"}
SEEDS = [1, 2, 3]
SETTINGS = {
    "progressive": {"sizes": [500, 5000, "all"], "seeds": SEEDS, "step": 1},
    "kept_norms": {"sizes": [500], "seeds": SEEDS, "step": 2},
    "faster_layers": {"factor": 5, "sizes": [500], "seeds": SEEDS, "step": 2},
    "localized": {"block": 3, "stride": 3, "inverse": True, "size": 500, "seeds": SEEDS},
    "permutation": {"count": 10, "size": 500, "seeds": [1]},
    "probing": {"sizes": [500, 5000], "seeds": SEEDS, "step": 1},
}


def runs(part, tasks=("t",), models=("m",), layers=12):
    rng = np.random.default_rng(0)
    rows = [
        {
            "model": model,
            "task": task,
            "series": p.series,
            "position": p.position,
            "size": p.variant.size or "all",
            "variant": str(p.variant),
            "seed": p.seed,
            "metric": "accuracy",
            "value": 0.5 + 0.03 * (p.position or 0) + 0.01 * rng.standard_normal(),
            "baseline": 0.5,
        }
        for model in models
        for task in tasks
        for p in planned_runs(part, SETTINGS, layers)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def drawn(tmp_path):
    """Save a plot, with warnings as errors; the texts on it and its size in inches."""

    def draw(plot):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            drawing.save(plot, tmp_path / "x.png", tmp_path / "x.pdf")
        figure = plot.draw()
        figure.canvas.draw()
        texts = [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
        image = pyplot.imread(tmp_path / "x.png")
        pyplot.close(figure)
        return texts, image.shape[1] / drawing.DPI

    return draw


@pytest.mark.parametrize(
    ("kind", "legend"),
    [
        ("progressive", ["New layers, trained", "Frozen, head trained", "500", "5,000", "all"]),
        ("kept-norms", ["New layers, trained", "Layer norms kept", "500"]),
        ("faster-layers", ["New layers, trained", "New layers at 5 times the rate", "500"]),
        ("localized", ["The block is new", "All but the block is new", "No layer is new"]),
        ("permutation", ["Permuted layers", "Layers in order"]),
    ],
)
@pytest.mark.parametrize(("models", "tasks"), [(["m"], ["t"]), (["m", "n"], ["t", "u", "v"])])
def test_reinit_figures(drawn, kind, legend, models, tasks):
    table = runs(kind, tasks, models)
    if kind == "progressive":
        table = pd.concat([table, runs("probing", tasks, models)])
    texts, width = drawn(FIGURES[kind](table, FigureStyle(models, tasks, SEEDS, LABELS)))
    assert set(legend) <= set(texts)
    assert texts.count("Task\nModel") == 1 and "Accuracy" in texts
    assert len([t for t in texts if "\n" in t]) == len(models) * len(tasks)
    assert width <= drawing.TEXT_WIDTH + 0.1


def test_blocks_are_named_by_their_layers_in_order(drawn):
    style = FigureStyle(["m"], ["t"], SEEDS, LABELS)
    texts, _ = drawn(FIGURES["localized"](runs("localized"), style))
    assert [t for t in texts if "–" in t] == ["1–3", "4–6", "7–9", "10–12"]


def selection():
    rows = [
        {
            **p,
            "seed": seed,
            "metric": "accuracy",
            "model": "m",
            "task": "t",
            "value": 0.8 + 0.01 * seed if p["variant"] else None,
            "baseline": 0.5,
            "trainable_parameters": 1e5 * (p["top"] or 9) + 3e4 * len(p["comparison"]),
        }
        for p in selection_variants(2, 6, [1, 3], False)
        for seed in (1, 2)
    ]
    return pd.DataFrame(rows)


def nu_table(**changes):
    nu = np.array([3.0, 2.0, 1.0, 1.5, 1.7, 1.8, 2.0])
    table = pd.DataFrame({"model": "m", "task": "t", "depth": range(7), "nu": nu})
    for name, scale in (("nu_low", 0.9), ("nu_high", 1.1), ("shuffled", 9), ("corrected", 1.2)):
        table[name] = scale * nu
    table = table.assign(
        shuffled_sd=2.0, relative=1 / 9, probe=0.8, probe_low=0.78, probe_high=0.82
    )
    table = table.assign(
        probe_shuffled=0.5, probe_shuffled_sd=0.02, probe_score="balanced accuracy"
    )
    return table.assign(selected=table["depth"] == 2, **changes)


def found(**changes):
    depths = dict.fromkeys(("nu", "shuffled", "relative", "corrected", "probe"), 2)
    row = {f"depth_{name}": depth for name, depth in depths.items()}
    return pd.DataFrame([row | {"agreed": 0.99, "claimed": 2, "finding": "…"} | changes])


def differences(*notes):
    there = {"difference": -0.02, "low": -0.04, "high": 0.01, "about": "these runs"}
    rows = [
        {"top": top, "metric": "accuracy", "note": note} | ({} if note else there)
        for top, note in enumerate(notes, 1)
    ]
    columns = ["top", "metric", "difference", "low", "high", "about", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def test_variability_figure(drawn):
    plot = variability_and_selection(
        nu_table(), found(), selection(), differences("", "none"), LABELS
    )
    texts, width = drawn(plot)
    assert {"Task, Model", "Layers up to l*", "Last layers", "Whole model"} <= set(texts)
    assert {"ν", "ν of shuffled labels", "ν without noise of means"} <= set(texts)
    assert {"Linear probe, balanced accuracy", "Accuracy", "none"} <= set(texts)
    assert any("All select depth 2" in text for text in texts)
    assert "Paired difference; interval about these runs" in texts
    assert width <= drawing.TEXT_WIDTH + 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth_probe": 4}, "They differ: no depth is claimed"),
        ({"depth_corrected": np.nan}, "They differ: no depth is claimed"),
        ({"agreed": 0.6}, "Together in only 60% of half-samples: none claimed"),
    ],
)
def test_the_figure_says_why_no_depth_is_claimed(changes, words):
    assert claim_words(found(claimed=np.nan, **changes).iloc[0]) == words


def test_variability_figure_without_a_claim(drawn):
    nu, none = nu_table(corrected=np.nan), found(claimed=np.nan, depth_corrected=np.nan)
    plot = variability_and_selection(nu, none, selection(), differences(SAME, SAME), LABELS)
    texts, _ = drawn(plot)
    assert any("without noise nowhere" in text for text in texts)
    assert {"same", "The selected layers are the last layers"} <= set(texts)


def robustness_rows(layers=6, measure_of=("nu", "relative", "corrected", "probe")):
    rows = [
        {
            "varied": varied,
            "level": level,
            "examples": 1000 if varied == "ratio" else level,
            "measure": measure,
            "depth": float(depth),
            "share": 1 / layers,
        }
        for varied, levels in (("size", (100, 2000)), ("ratio", (1, 9)))
        for level in levels
        for measure in measure_of
        for depth in range(1, layers + 1)
    ]
    rows.append({"varied": "ratio", "level": 99, "examples": 1000, "reason": "not possible: …"})
    return pd.DataFrame(rows).assign(model="m", task="t")


def test_robustness_figure(drawn):
    texts, width = drawn(robustness(robustness_rows(24), LABELS))
    assert {"ν", "ν / shuffled", "ν without noise", "Linear probe", "Task, Model"} <= set(texts)
    assert {"100", "2,000", "1:1", "1:9", "Class ratio, n = 1,000"} <= set(texts)
    assert "Sample (not possible: 1:99)" in texts
    assert width <= drawing.COLUMN_WIDTH + 0.1


def test_robustness_figure_without_ratios(drawn):
    table = robustness_rows(3)
    texts, _ = drawn(robustness(table[(table["varied"] == "size")], LABELS))
    assert "Examples" in texts and not any("ratio" in text for text in texts)


def methods(layers=12, **changes):
    depth = np.arange(1, layers + 1)
    table = pd.DataFrame({"model": "m", "task": "t", "depth": depth})
    for i, method in enumerate(METHODS):
        table[method] = (layers - depth) / (layers + i)
    return table.assign(**changes)


@pytest.mark.parametrize("late_begin", [8, None])
def test_agreement_figure(drawn, late_begin):
    table = methods()
    depths = suggested_depths(table, MadeBlocks(late_begin), 0.01)
    finding = pd.DataFrame([{f"depth_{k}": v for k, v in depths.items()}])
    finding = finding.assign(late_begin=late_begin)
    texts, _ = drawn(methods_by_depth(table, finding, LABELS))
    assert {"Lost when skipped", "Variability ν (pretrained)", "Task, Model"} <= set(texts)
    assert {"Block Influence (1 − cosine)", "Angular distance (angle / π)"} <= set(texts)


def test_a_method_without_numbers_has_no_panel(drawn):
    finding = pd.DataFrame([{f"depth_{m}": np.nan for m in METHODS}])
    finding = finding.assign(late_begin=np.nan)
    texts, _ = drawn(methods_by_depth(methods(reinit=np.nan), finding, LABELS))
    assert "Lost when its block is new" not in texts and "Lost when skipped" in texts


def correlations(models=("m",), without=None, **changes):
    rows = [
        {
            "model": model,
            "method_a": a,
            "method_b": b,
            "increment_spearman": np.nan if without in (a, b) else 0.9 - 0.06 * i,
            "low": -0.2,
            "high": 1.0,
            "p": 0.03,
        }
        for model in models
        for i, (a, b) in enumerate(combinations(METHODS, 2))
    ]
    return pd.DataFrame(rows).assign(**changes)


@pytest.mark.parametrize("models", [("m",), ("m", "n"), ("m", "n", "o")])
def test_correlation_map(drawn, models):
    texts, width = drawn(correlation_map(correlations(models), LABELS))
    assert ".90\np=.030\n[-.20,1.00]" in texts and {"CKA", "ν", "Influence", "Model"} <= set(texts)
    assert "-.72\np=.030\n[-.20,1.00]" in texts and "Angle" in texts
    assert any("in this model" in text for text in texts)
    assert width <= drawing.TEXT_WIDTH + 0.1


def test_where_there_is_no_interval_none_is_drawn(drawn):
    texts, _ = drawn(correlation_map(correlations(low=np.nan, high=np.nan), LABELS))
    assert ".90\np=.030" in texts and not any("[" in text for text in texts)


def test_numbers_stay_within_their_cell(tmp_path):
    """Three models with intervals: the widest cell there is."""
    plot = correlation_map(correlations(("m", "n", "o"), low=-0.99, high=-0.11), LABELS)
    figure = plot.draw()
    figure.canvas.draw()
    axes = figure.axes[0]
    corners = axes.transData.transform([(1, 1), (2, 1)])
    cell = corners[1, 0] - corners[0, 0]
    widths = [t.get_window_extent().width for t in axes.texts]
    pyplot.close(figure)
    assert len(widths) == 28 and max(widths) <= cell


def test_a_method_that_correlates_with_nothing_is_left_out(drawn):
    texts, _ = drawn(correlation_map(correlations(without="reinit"), LABELS))
    assert "New weights" not in texts


def test_without_any_correlation_every_method_is_there(drawn):
    texts, _ = drawn(correlation_map(correlations(increment_spearman=np.nan), LABELS))
    assert {"CKA", "UNTUNED", "New weights", "Influence"} <= set(texts)


def controls(layers=6, seeds=(1, 2), first=1, **changes):
    """A controls table whose values are a depth's share of the layers."""
    depths = range(first, layers + 1)
    pairs = {(k, k + 1) for k in depths if k < layers} | {(k, layers) for k in depths if k < layers}
    kinds = [(depth, None, measure) for depth in depths for measure in OF_ONE]
    kinds += [(*pair, measure) for pair in sorted(pairs) for measure in OF_TWO]
    rows = [
        {
            "state": state,
            "depth": depth,
            "other_depth": other,
            "measure": measure,
            "value": depth / layers,
            "se": 0.02 if measure.startswith("cka") else np.nan,
        }
        for state in ("pretrained", *(f"full-seed{seed}" for seed in seeds))
        for depth, other, measure in kinds
    ]
    table = pd.DataFrame(rows).assign(model="m", task="t", pooling="raw", chance=0.05, failed=False)
    return table.assign(n_examples=1234).assign(**changes)


# Drawing a composition twice, as `drawn` does, adds its scales twice.
drawn_twice = pytest.mark.filterwarnings("ignore:Scale for")


@drawn_twice
def test_controls_figure(drawn):
    table = controls(failed=lambda t: t["state"] == "full-seed2")
    texts, width = drawn(controls_by_depth(table, "raw", LABELS))
    assert "Task, Model (1,234 examples)" in texts
    assert {"Pretrained", "Fine-tuned, seed 1", "Fine-tuned, seed 2 (failed)"} <= set(texts)
    entries = {name for kind in (OF_ONE, OF_TWO) for name, *_ in kind.values()} - {"Step"}
    assert entries <= set(texts) and width <= drawing.TEXT_WIDTH + 0.1


@drawn_twice
@pytest.mark.parametrize(
    "table",
    [
        controls(24, (1,)),
        controls(4, (), first=0, value=lambda t: t["value"].where(t["depth"] > 0)),
        controls(1, ()),
        controls(2, (), value=np.nan, se=np.nan, chance=np.nan),
    ],
    ids=["deep", "a depth without variance", "one layer", "nothing varies"],
)
def test_controls_of_any_size_are_drawn(drawn, table):
    texts, width = drawn(controls_by_depth(table, "raw", LABELS))
    assert "Task, Model (1,234 examples)" in texts and "Pretrained" in texts
    assert width <= drawing.TEXT_WIDTH + 0.1
