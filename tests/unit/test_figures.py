"""Figures are checked by what they draw: the images, lines and texts of the finished panels."""

import re
import warnings
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps, image, pyplot
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from strata.analysis.calibration import COLUMNS
from strata.figures import calibration as calibrations
from strata.figures import cka as maps
from strata.figures import skipping as triangles
from strata.figures import style as drawing
from strata.figures import truncation as curves
from strata.study.settings import MapStyle

LABELS = {"roberta": "RoBERTa", "albert": "ALBERT", "rte": "RTE", "accuracy": "Accuracy"}
LAYERS = {"roberta": 3, "albert": 24, "electra": 4}
GREY = to_rgba("#D9D9D9")


def style(
    models=("roberta",),
    tasks=("rte",),
    seeds=(1,),
    estimator="biased",
    pooling="raw",
    shown="first",
):
    return MapStyle(models, tasks, seeds, LABELS, estimator, pooling, shown)


@pytest.fixture(autouse=True)
def quiet():
    """No plot warns, not even plotnine itself, and none stays open."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield
    pyplot.close("all")


def cka_block(y_layers, x_layers, cka, **names):
    """The rows of one map: `cka` is one number, or an array with depth 1 in the first row."""
    y, x = np.meshgrid(np.arange(1, y_layers + 1), np.arange(1, x_layers + 1), indexing="ij")
    values = np.broadcast_to(cka, y.shape).ravel()
    names = {"pooling": "raw", "estimator": "biased", "failed": False, "note": np.nan} | names
    return pd.DataFrame({"y_depth": y.ravel(), "x_depth": x.ravel(), "cka": values, **names})


def cka_table(models, tasks, seeds=(1,), cka=0.5, **names):
    states = ["pretrained", *(f"full-seed{seed}" for seed in seeds)]
    blocks = [
        cka_block(
            LAYERS[model],
            LAYERS[model],
            cka(y_state, x_state) if callable(cka) else cka,
            **{"model": model, "task": task, "y_state": y_state, "x_state": x_state, **names},
        )
        for model, task, y_state, x_state in product(models, tasks, states, states)
    ]
    return pd.concat(blocks, ignore_index=True)


def truncation_table(model, task, by_seed, failed=(), metric="accuracy", baseline=0.5):
    """Every configuration of a seed, the full model too, scores `by_seed[seed]` at each depth."""
    base = {"model": model, "task": task, "metric": metric}
    layers = LAYERS[model]
    rows = [base | {"configuration": "baseline", "value": baseline}]
    for seed, value in by_seed.items():
        run = base | {"seed": seed, "value": value, "failed": seed in failed}
        rows.append(run | {"configuration": "full", "depth": layers})
        for name in ("untuned", "tuned", "tuned-orig"):
            rows += [run | {"configuration": name, "depth": k} for k in range(1, layers + 1)]
    return pd.DataFrame(rows)


def skip_table(value, full=0.9, baseline=0.5, layers=3, failed=False, seed=1):
    rows = [
        {"first": first, "last": last, "value": value(first, last)}
        for first in range(1, layers + 1)
        for last in range(first, layers + 1)
    ]
    run = {"model": "roberta", "task": "rte", "seed": seed, "metric": "accuracy"}
    return pd.DataFrame(rows).assign(full=full, baseline=baseline, failed=failed, **run)


def panel_titles(figure):
    return [text.get_text() for text in figure.findobj(Text) if "\n" in text.get_text()]


def tiles(axes):
    """The colours of a map, as [depth on Y - 1, depth on X - 1]."""
    (drawn,) = axes.get_images()
    left, right, bottom, top = drawn.get_extent()
    assert (left, bottom) == (axes.get_xlim()[0], axes.get_ylim()[0]) == (0.5, 0.5)
    assert (right, top) == (axes.get_xlim()[1], axes.get_ylim()[1])
    assert drawn.origin == "upper"
    return np.asarray(drawn.get_array())[::-1]


def notes(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def tick_labels(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def mean_lines(axes):
    return [line for line in axes.lines if to_rgba(line.get_color())[3] == 1]


def seed_lines(axes):
    return [line for line in axes.lines if to_rgba(line.get_color())[3] < 1]


def viridis(value):
    # The scale interpolates its palette more finely than matplotlib's 256 steps.
    return pytest.approx(colormaps["viridis"](value), abs=0.02)


def test_pair_maps_show_each_pair_of_states_with_the_first_named_on_y():
    values = {
        ("pretrained", "pretrained"): 0.1,
        ("full-seed1", "pretrained"): 0.3,
        ("full-seed1", "full-seed1"): 0.5,
        ("full-seed1", "full-seed2"): 0.7,
    }
    cka = cka_table(["albert"], ["rte"], (1, 2), lambda y, x: values.get((y, x), 1.0))
    figure = maps.pair_maps(cka, style(seeds=[1, 2])).draw()
    titles = [title.split("\n") for title in panel_titles(figure)]
    assert titles == [
        ["ORIG–ORIG", "Y pretrained, X pretrained"],
        ["FT–ORIG", "Y fine-tuned, X pretrained"],
        ["FT–FT", "Y fine-tuned, X fine-tuned"],
        ["FT[1]–FT[2]", "Y seed 1, X seed 2"],
    ]
    for axes, value in zip(figure.axes, values.values(), strict=True):
        assert tiles(axes)[0, 0] == viridis(value)
    assert figure.findobj(
        lambda a: isinstance(a, Text) and a.get_text() == "RTE, ALBERT (FT: seed 1)"
    )


def test_pair_maps_of_one_seed_have_three_panels():
    figure = maps.pair_maps(cka_table(["albert"], ["rte"]), style()).draw()
    assert [title.split("\n")[0] for title in panel_titles(figure)] == [
        "ORIG–ORIG",
        "FT–ORIG",
        "FT–FT",
    ]
    assert len(figure.axes) == 3


def test_only_the_estimator_and_pooling_asked_for_are_drawn():
    wanted = cka_table(["roberta"], ["rte"], cka=0.25, estimator="debiased", pooling="mean")
    others = [
        cka_table(["roberta"], ["rte"], cka=0.9, estimator="biased", pooling="mean"),
        cka_table(["roberta"], ["rte"], cka=0.9, estimator="debiased", pooling="raw"),
    ]
    table = pd.concat([*others, wanted, *others])
    plot = maps.map_grid(table, "ft-ft", style(estimator="debiased", pooling="mean"))
    assert tiles(plot.draw().axes[0])[2, 1] == viridis(0.25)


def test_negative_cka_is_drawn_as_zero_and_only_undefined_cka_is_grey():
    cka = np.full((3, 3), 0.5)
    cka[0, 0], cka[0, 1], cka[0, 2], cka[1, 0] = -0.2, 0, np.nan, 1
    table = cka_table(["roberta"], ["rte"], cka=cka)
    figure = maps.map_grid(table, "ft-ft", style()).draw()
    drawn = tiles(figure.axes[0])
    assert (drawn[0, 0] == drawn[0, 1]).all()
    assert drawn[0, 1] == viridis(0.0)
    assert drawn[1, 0] == viridis(1.0)
    assert drawn[0, 2] == pytest.approx(GREY)
    assert np.isclose(drawn, GREY).all(axis=2).sum() == 1


def test_colours_do_not_depend_on_the_range_of_the_values():
    table = cka_table(["roberta"], ["rte"], cka=np.linspace(0.4, 0.6, 9).reshape(3, 3))
    figure = maps.map_grid(table, "ft-ft", style()).draw()
    assert tiles(figure.axes[0])[0, 0] == viridis(0.4)
    assert tiles(figure.axes[0])[2, 2] == viridis(0.6)


def test_the_tile_of_depth_one_is_at_the_bottom_left_of_the_picture(tmp_path):
    cka = np.full((3, 3), 0.5)
    cka[0, 0] = np.nan
    table = cka_table(["roberta"], ["rte"], cka=cka)
    plot = maps.map_grid(table, "ft-ft", style())
    drawing.save(plot, tmp_path / "map.png", tmp_path / "map.pdf")
    picture = image.imread(tmp_path / "map.png")
    grey = np.isclose(picture, GREY, atol=0.01).all(axis=2)
    green = np.isclose(picture, tiles(plot.draw().axes[0])[1, 1], atol=0.01).all(axis=2)
    (grey_y, grey_x), (green_y, green_x) = (np.nonzero(mask) for mask in (grey, green))
    tile = (green_x.max() - green_x.min()) / 3
    assert grey.sum() == pytest.approx(tile**2, rel=0.05)
    assert np.median(grey_x) - green_x.min() < tile
    assert green_y.max() - np.median(grey_y) < tile


def test_a_grid_has_its_panels_in_the_order_asked_for_and_its_own_depths_in_each():
    models, tasks = ["roberta", "albert", "electra"], ["wic", "rte"]
    table = cka_table(sorted(models), sorted(tasks))
    figure = maps.map_grid(table, "ft-orig", style(models, tasks)).draw()
    assert panel_titles(figure) == [
        f"{task}\n{model}" for task in ("wic", "RTE") for model in ("RoBERTa", "ALBERT", "electra")
    ]
    assert [tiles(axes).shape[:2] for axes in figure.axes] == [(3, 3), (24, 24), (4, 4)] * 2
    assert [tick_labels(axes.xaxis) for axes in figure.axes[:3]] == [
        ["1", "2", "3"],
        ["1", "8", "16", "24"],
        ["1", "2", "3", "4"],
    ]


def test_a_panel_without_data_says_so_and_leaves_the_others_in_place():
    table = cka_table(["roberta", "albert"], ["rte", "wic"])
    table = table[(table["model"] != "roberta") | (table["task"] != "rte")]
    plot = maps.map_grid(table, "ft-ft", style(["roberta", "albert"], ["rte", "wic"]))
    figure = plot.draw()
    assert panel_titles(figure)[0] == "RTE\nRoBERTa"
    assert notes(figure) == [["no data"], [], [], []]
    assert tick_labels(figure.axes[0].xaxis) == []
    assert [tiles(axes).shape[0] for axes in figure.axes[1:]] == [24, 3, 24]


@pytest.mark.parametrize(
    ("kind", "marked"), [("ft-ft", False), ("ft-orig", False), ("ft1-ft2", True)]
)
def test_a_map_of_a_failed_run_is_marked(kind, marked):
    table = cka_table(["roberta", "albert"], ["rte"], (1, 2))
    states = table[["y_state", "x_state"]]
    table["failed"] = (states == "full-seed2").any(axis=1) & (table["model"] == "albert")
    plot = maps.map_grid(table, kind, style(["roberta", "albert"], seeds=[1, 2]))
    assert notes(plot.draw()) == [[], ["failed"] if marked else []]


@pytest.mark.parametrize(
    ("kind", "y_title", "x_title"),
    [
        ("ft-ft", "Depth (fine-tuned, {})", "Depth (fine-tuned, {})"),
        ("ft-orig", "Depth (fine-tuned, {})", "Depth (pretrained)"),
        ("ft1-ft2", "Depth (fine-tuned, seed 3)", "Depth (fine-tuned, seed 5)"),
    ],
)
def test_the_axes_of_a_grid_say_whose_depths_they_are(kind, y_title, x_title):
    table = cka_table(["roberta"], ["rte"], (3, 5))
    for shown, runs in (("first", "seed 3"), ("mean", "mean of 2 seeds")):
        plot = maps.map_grid(table, kind, style(seeds=[3, 5], shown=shown))
        assert notes(plot.draw()) == [[]]
        assert (plot.labels.y, plot.labels.x) == (y_title.format(runs), x_title.format(runs))


def three_seeds(failed=()):
    """FT-FT and FT-ORIG of seeds 1, 2 and 3 are 0.2, 0.4 and 0.9; between seeds it is 0.7."""
    values = {f"full-seed{seed}": value for seed, value in ((1, 0.2), (2, 0.4), (3, 0.9))}

    def of(y_state, x_state):
        return values.get(y_state, 0) if x_state in (y_state, "pretrained") else 0.7

    table = cka_table(["roberta"], ["rte"], (1, 2, 3), of)
    bad = [f"full-seed{seed}" for seed in failed]
    return table.assign(failed=table[["y_state", "x_state"]].isin(bad).any(axis=1))


@pytest.mark.parametrize("kind", ("ft-ft", "ft-orig"))
@pytest.mark.parametrize(
    ("failed", "value", "said"),
    [((), 0.5, []), ((3,), 0.3, ["1 of 3 failed"]), ((1, 2, 3), 0.5, ["failed"])],
)
def test_a_mean_over_seeds_leaves_failed_runs_out_and_says_so(kind, failed, value, said):
    plot = maps.map_grid(three_seeds(failed), kind, style(seeds=[1, 2, 3], shown="mean"))
    figure = plot.draw()
    assert tiles(figure.axes[0])[1, 2] == viridis(value)
    assert notes(figure) == [said]


def test_pair_maps_name_the_seed_or_the_mean_and_compare_two_seeds_either_way():
    for shown, title, value in (("first", "seed 1", 0.2), ("mean", "mean of 3 seeds", 0.5)):
        plot = maps.pair_maps(three_seeds(), style(seeds=[1, 2, 3], shown=shown))
        drawn = [tiles(axes)[0, 0] for axes in plot.draw().axes]
        assert drawn == [viridis(0), viridis(value), viridis(value), viridis(0.7)]
        assert plot.labels.title == f"RTE, RoBERTa (FT: {title})"


def test_what_the_drawn_rows_notes_say_is_said_below_with_the_tasks_it_is_about():
    table = cka_table(["roberta"], ["rte", "wic", "cola"])
    plain = maps.map_grid(table, "ft-ft", style(tasks=["rte", "wic"]))
    assert plain.labels.get("caption", None) is None
    table["note"] = table["task"].map({"rte": "few", "cola": "few", "wic": np.nan})
    plot = maps.map_grid(table, "ft-ft", style(tasks=["wic", "cola", "rte"]))
    assert plot.labels.caption == "cola, RTE: few."
    of_pair = maps.pair_maps(table[table["task"] == "rte"], style())
    assert of_pair.labels.caption == "RTE: few."


def test_a_long_note_stays_within_the_figure(tmp_path):
    table = cka_table(["roberta"], ["rte"], note="a word and another " * 12)
    plot = maps.map_grid(table, "ft-ft", style())
    drawing.save(plot, tmp_path / "map.png", tmp_path / "map.pdf")
    _, width, _ = image.imread(tmp_path / "map.png").shape
    assert width <= 3.35 * 300
    assert plot.labels.caption.count("\n") >= 3


def block_table(task="rte", late=9, **changes):
    """The blocks of two seeds and of the pretrained encoder, of a model with 24 layers."""
    states = [(1, "full-seed1", late), (2, "full-seed2", late + 2), (None, "pretrained", 20)]
    rows = [
        {"seed": seed, "state": state, "kind": kind, "late_begin": begin, "found": kind == "late"}
        for seed, state, begin in states
        for kind in ("late", "two")
    ]
    places = {"model": "albert", "task": task, "pooling": "raw", "failed": False, "layers": 24}
    return pd.DataFrame(rows).assign(early_begin=1, early_end=6, **places | changes)


def squares(axes):
    """(first depth, last depth, linestyle is solid) of each black outline."""
    return [
        (path.vertices[:, 0].min() + 0.5, path.vertices[:, 0].max() - 0.5, line[1] is None)
        for drawn in axes.collections
        if tuple(drawn.get_edgecolor()[0]) == to_rgba("black")
        for path, line in zip(
            drawn.get_paths(), drawn.get_linestyle() * len(drawn.get_paths()), strict=False
        )
        if len(path.vertices) > 3
    ]


def test_blocks_that_were_found_are_outlined_in_what_shows_them():
    cka = cka_table(["albert"], ["rte"], (1, 2))
    figure = maps.pair_maps(cka, style(["albert"], seeds=[1, 2]), block_table()).draw()
    original, other, own, seeds = figure.axes
    assert squares(original) == [(20, 24, True)] and squares(own) == [(9, 24, True)]
    assert not squares(other) and not squares(seeds)
    both = block_table(found=True)
    figure = maps.pair_maps(cka, style(["albert"], seeds=[1, 2]), both).draw()
    assert squares(figure.axes[2]) == [(9, 24, True), (1, 6, False), (9, 24, False)]


def test_outlines_of_figure_2_are_of_the_seeds_shown_that_did_not_fail():
    tasks = ["rte", "cola"]
    cka = cka_table(["albert"], tasks, (1, 2))
    blocks = pd.concat([block_table(), block_table("cola", failed=[True] * 2 + [False] * 4)])
    look = {"models": ["albert"], "tasks": tasks, "seeds": [1, 2]}
    plot = maps.map_grid(cka, "ft-ft", style(**look), blocks)
    assert [squares(axes) for axes in plot.draw().axes] == [[(9, 24, True)], []]
    assert plot.labels.caption.startswith("Outlined where found")
    plot = maps.map_grid(cka, "ft-ft", style(**look, shown="mean"), blocks)
    assert [len(squares(axes)) for axes in plot.draw().axes] == [2, 1]
    for plot in (
        maps.map_grid(cka, "ft-orig", style(**look), blocks),
        maps.map_grid(cka, "ft-ft", style(**look), blocks.assign(pooling="mean")),
    ):
        assert not any(squares(axes) for axes in plot.draw().axes)


def test_maps_across_models_average_seeds_too():
    both = [
        cka_block(3, 4, value, y_model="roberta", x_model="electra", task="rte", seed=seed,
                  y_state=f"full-seed{seed}", x_state=f"full-seed{seed}")
        for seed, value in ((1, 0.2), (2, 0.6))
    ]  # fmt: skip
    wanted = style(["roberta", "electra"], seeds=[1, 2], shown="mean")
    plot = maps.model_pair_grid(pd.concat(both), wanted)
    assert tiles(plot.draw().axes[0])[2, 3] == viridis(0.4)
    assert plot.labels.x == "Depth (second model, mean of 2 seeds)"


def test_two_seeds_are_needed_to_compare_two_seeds():
    table = cka_table(["roberta"], ["rte"])
    with pytest.raises(ValueError, match="two seeds"):
        maps.map_grid(table, "ft1-ft2", style())


@pytest.mark.slow
def test_many_tasks_are_folded_to_fit_a_page():
    models, tasks = ["roberta", "albert", "electra"], [f"task{i}" for i in range(12)]
    plot = maps.map_grid(cka_table(models, tasks), "ft-ft", style(models, tasks))
    width, height = plot.theme.getp("figure_size")
    assert width == 7 and height < 9
    grid = plot.draw().axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (6, 6)


def test_of_a_pair_of_models_the_first_is_on_y_whichever_way_the_table_has_it():
    # The table has the models in alphabetical order, the figure does not.
    albert_by_roberta = np.full((24, 3), 0.5)
    albert_by_roberta[23, 0] = 1
    state = {"task": "rte", "y_state": "full-seed1", "x_state": "full-seed1"}
    table = pd.concat(
        cka_block(
            LAYERS[y],
            LAYERS[x],
            albert_by_roberta if (y, x) == ("albert", "roberta") else 0.5,
            y_model=y,
            x_model=x,
            **state,
        )
        for y, x in combinations(sorted(LAYERS), 2)
    )
    models = ["roberta", "albert", "electra"]
    figure = maps.model_pair_grid(table, style(models)).draw()
    assert panel_titles(figure) == [
        "RTE\nRoBERTa – ALBERT",
        "RTE\nRoBERTa – electra",
        "RTE\nALBERT – electra",
    ]
    assert [tiles(axes).shape[:2] for axes in figure.axes] == [(3, 24), (3, 4), (24, 4)]
    assert tiles(figure.axes[0])[0, 23] == viridis(1.0)
    assert tiles(figure.axes[0])[2, 0] == viridis(0.5)


def test_curves_average_the_seeds_that_did_not_fail_and_show_them_all():
    table = truncation_table("roberta", "rte", {1: 0.7, 2: 0.8, 3: 0.5}, failed=[3])
    plot = curves.truncation_curves(table, style())
    axes = plot.draw().axes[0]
    assert len(mean_lines(axes)) == 3
    for line in mean_lines(axes):
        assert line.get_xydata() == pytest.approx(np.array([[1, 0.75], [2, 0.75], [3, 0.75]]))
    assert sorted(line.get_xydata()[0, 1] for line in seed_lines(axes)) == pytest.approx(
        [0.5] * 3 + [0.7] * 3 + [0.8] * 3
    )
    baseline, full = axes.collections
    assert full.get_offsets().tolist() == [[3, pytest.approx(0.75)]]
    assert baseline.get_segments()[0][:, 1] == pytest.approx([0.5, 0.5])
    assert [text.get_text() for text in axes.texts] == ["failed: seed 3"]
    assert plot.labels.y == "Accuracy"


def test_curves_of_runs_that_all_failed_have_no_means_and_are_marked():
    table = pd.concat(
        [
            truncation_table("roberta", "rte", {1: 0.5, 2: 0.5}, failed=[1, 2]),
            truncation_table("albert", "rte", {1: 0.7, 2: 0.8}),
        ]
    )
    figure = curves.truncation_curves(table, style(["roberta", "albert"])).draw()
    failed, well = figure.axes
    assert notes(figure) == [["failed"], []]
    assert mean_lines(failed) == [] and len(seed_lines(failed)) == 6
    assert len(mean_lines(well)) == 3


def calibration(kind="classification", failed=(), seeds=(1, 2)):
    """UNTUNED and TUNED at four depths; noise is 0.02 at depth 1, and 0.01 more at each."""
    numbers = ["squared_error", "moved"] if kind == "regression" else ["nll", "ece", "flips"]
    rows = [
        {"seed": seed, "configuration": name, "depth": depth, "failed": seed in failed}
        | {column: 1 / depth + seed / 10 for column in numbers}
        for seed, name, depth in product(seeds, ("untuned", "tuned"), range(1, 5))
    ]
    rows.append({"configuration": "baseline", "failed": False, numbers[0]: 0.9})
    table = pd.DataFrame(rows).assign(model="roberta", task="rte")
    if kind != "regression":
        high = 0.01 + table["depth"] / 100
        table["ece_noise_high"] = high.where(table["configuration"] == "untuned", high / 2)
    return table.reindex(columns=COLUMNS)


def test_calibration_has_a_panel_a_number_with_means_seeds_and_the_full_model():
    table = calibration()
    other = table[table["configuration"] == "tuned"].assign(configuration="another", nll=2.0)
    figure = calibrations.calibration_curves(pd.concat([table, other]), LABELS).draw()
    titles = [text.get_text() for text in figure.findobj(Text)]
    assert [title for title in titles if title in calibrations.PANELS.values()] == [
        "Negative log-likelihood",
        "Calibration error",
        "Answers changed",
    ]
    assert "RoBERTa on RTE" in titles
    likelihood, _, changed = figure.axes
    for axes in figure.axes:
        visible = [line for line in seed_lines(axes) if to_rgba(line.get_color())[3] > 0]
        assert [len(mean_lines(axes)), len(visible)] == [2, 4]
        for line in mean_lines(axes):
            expected = [[depth, 1 / depth + 0.15] for depth in range(1, 5)]
            assert line.get_xydata() == pytest.approx(np.array(expected))
        assert axes.collections[-1].get_offsets().tolist() == [[4, pytest.approx(0.4)]]
        assert tick_labels(axes.xaxis) == ["1", "2", "3", "4"]
    assert likelihood.collections[0].get_segments()[0][:, 1] == pytest.approx([0.9, 0.9])
    assert len(changed.collections) == 1


def test_the_noise_of_the_calibration_error_is_a_grey_area_from_0():
    figure = calibrations.calibration_curves(calibration(), LABELS).draw()
    _, error, _ = figure.axes
    outline = error.collections[0].get_paths()[0].vertices
    assert tuple(error.collections[0].get_facecolor()[0]) == GREY
    top = {depth: outline[outline[:, 0] == depth, 1].max() for depth in range(1, 5)}
    assert top == {depth: pytest.approx(0.01 + depth / 100) for depth in range(1, 5)}
    assert outline[:, 1].min() == 0


def test_calibration_of_a_regression_and_of_runs_that_failed():
    figure = calibrations.calibration_curves(calibration("regression", failed=[1]), LABELS).draw()
    assert notes(figure) == 2 * [["failed: seed 1"]]
    for axes in figure.axes:
        assert [line.get_xydata()[0, 1] for line in mean_lines(axes)] == 2 * [pytest.approx(1.2)]
        assert len(seed_lines(axes)) == 4
    everything = calibration(failed=[1, 2])
    figure = calibrations.calibration_curves(everything, LABELS).draw()
    assert notes(figure) == 3 * [["failed"]]
    assert not any(mean_lines(axes) for axes in figure.axes)


def test_models_share_the_y_axis_of_a_task_but_tasks_do_not():
    table = pd.concat(
        [
            truncation_table("roberta", "rte", {1: 0.6}),
            truncation_table("albert", "rte", {1: 0.9}),
            truncation_table("roberta", "cola", {1: 0.3}, metric="mcc", baseline=0),
        ]
    )
    plot = curves.truncation_curves(table, style(["roberta", "albert"], ["rte", "cola"]))
    figure = plot.draw()
    rte, also_rte, cola, missing = figure.axes
    assert rte.get_ylim() == also_rte.get_ylim()
    assert rte.get_ylim()[1] > 0.9
    assert cola.get_ylim()[1] < 0.35
    assert notes(figure)[3] == ["no data"] and missing.lines[:] == []
    assert plot.labels.y == "Task performance"
    assert tick_labels(also_rte.xaxis) == ["1", "8", "16", "24"]


def test_configurations_keep_their_colours_where_some_are_absent():
    table = truncation_table("roberta", "rte", {1: 0.7})
    table = table[table["configuration"] != "untuned"]
    axes = curves.truncation_curves(table, style()).draw().axes[0]
    assert {line.get_color()[:7] for line in mean_lines(axes)} == {"#0072B2", "#E69F00"}


def test_the_better_of_two_curves_is_no_third():
    """Heads tuned to convergence have a dashed curve; the better ones are on either."""
    table = truncation_table("roberta", "rte", {1: 0.7, 2: 0.8})
    tuned = table[table["configuration"] == "tuned"]
    twin = tuned.assign(configuration="tuned-converged", value=tuned["value"] + 0.05)
    best = twin.assign(configuration="tuned-best")
    figure = curves.truncation_curves(pd.concat([table, twin, best]), style()).draw()
    lines = {line.get_color()[:7]: line for line in mean_lines(figure.axes[0])}
    assert len(mean_lines(figure.axes[0])) == len(lines) == 4
    assert lines["#56B4E9"].get_linestyle() == "--"
    assert list(lines["#56B4E9"].get_ydata()) == pytest.approx([0.8] * LAYERS["roberta"])
    assert lines["#0072B2"].get_linestyle() == "-"
    legend = {text.get_text() for text in figure.findobj(Text)}
    assert "Tuned, converged" in legend and not any("best" in text for text in legend)


def test_triangles_show_the_share_of_the_gain_kept_clipped():
    scores = {(1, 1): 0.4, (1, 2): 0.5, (1, 3): 0.7, (2, 2): 0.9, (2, 3): 0.95, (3, 3): np.nan}
    table = skip_table(lambda first, last: scores[first, last])
    other_seed = skip_table(lambda first, last: 0.6, seed=2)
    plot = triangles.skip_triangles(pd.concat([table, other_seed]), style(seeds=[1, 2]))
    drawn = tiles(plot.draw().axes[0])
    cividis = [pytest.approx(colormaps["cividis"](v), abs=0.02) for v in (0.0, 0.5, 1.0)]
    assert drawn[0, 0] == cividis[0] and drawn[0, 1] == cividis[0]
    assert drawn[0, 2] == cividis[1]
    assert drawn[1, 1] == cividis[2] and drawn[1, 2] == cividis[2]
    assert drawn[2, 2] == pytest.approx(GREY)
    # Nothing is drawn where the last skipped layer would come before the first.
    assert [drawn[y, x, 3] for y, x in ((1, 0), (2, 0), (2, 1))] == [0, 0, 0]
    assert (plot.labels.y, plot.labels.x) == ("First skipped layer", "Last skipped layer")


def test_a_triangle_of_a_model_below_the_baseline_is_grey_and_a_failed_one_is_marked():
    table = skip_table(lambda first, last: 0.5, full=0.45, failed=True)
    figure = triangles.skip_triangles(table, style()).draw()
    drawn = tiles(figure.axes[0])
    assert drawn[np.tril_indices(3)[::-1]] == pytest.approx(np.tile(GREY, (6, 1)))
    assert notes(figure) == [["failed"]]


@pytest.mark.slow
def test_save_writes_both_files_at_their_printed_size_and_again_the_same(tmp_path):
    table = cka_table(["albert"], ["rte"], (1, 2))
    plot = maps.pair_maps(table, style(seeds=[1, 2]))
    for name in ("one", "two"):
        drawing.save(plot, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
    height, width, _ = image.imread(tmp_path / "one.png").shape
    assert width == pytest.approx(3.3 * 300, abs=15)
    assert 3.8 * 300 < height < 4.3 * 300
    pdf = (tmp_path / "one.pdf").read_bytes()
    box = [float(v) for v in re.search(rb"/MediaBox \[ *([^]]+)\]", pdf)[1].split()]
    assert np.array(box[2:]) / 72 == pytest.approx([width / 300, height / 300], abs=0.03)
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    assert pdf == (tmp_path / "two.pdf").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
