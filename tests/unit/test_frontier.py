"""Verdicts on layer sets, and the answers read from them, with made-up predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers import tiny
from helpers.heads import SETTINGS as SETTINGS_OF_HEADS
from strata.analysis.frontier import (
    ANSWER_COLUMNS,
    COLUMNS,
    COSTS,
    NAMES,
    RunSets,
    choose_candidates,
    front,
    frontier_answers,
    frontier_of_run,
    in_summary,
)
from strata.analysis.frontier_words import frontier_text
from strata.analysis.layer_geometry import layer_geometry
from strata.analysis.layer_selection import Measuring, proposals, propose
from strata.analysis.set_heads import (
    answers_of_sets,
    load_set_head,
    save_set_heads,
    tune_set_heads,
)
from strata.analysis.set_vectors import SetVectors, dump_sets, sets_of
from strata.evaluation.predictions import answers as answers_of
from strata.export.cut import choose_set, choose_trained
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.inference import all_logits
from strata.study.layer_sets import Layers
from strata.study.settings import (
    ConvergedSettings,
    ForwardSettings,
    SummarySettings,
)
from strata.study.trained_cuts import TrainedCut

N, CHOOSING = 2000, 400
SETTINGS = SummarySettings(resamples=200, confidence=0.95, tolerance=0.01)
TASK = tiny.task()
# The share that each set of four layers gets wrong, on examples that choose and that judge.
WRONG = {
    "1-4": (0.1, 0.1),
    "1-3": (0.1, 0.2),
    "1-2+4": (0.05, 0.1),
    "1-2": (0.3, 0.4),
    "1+4": (0.25, 0.35),
    "1": (0.5, 0.5),
}
PROPOSED = [
    ("top", 3, "1-3"), ("greedy", 3, "1-2+4"), ("top", 2, "1-2"), ("greedy", 2, "1+4"),
    ("top", 1, "1"), ("greedy", 1, "1"),
]  # fmt: skip


def answers(wrong=None, head=False) -> pd.DataFrame:
    """Predictions of sets; the first examples are the wrong ones. All labels are 0."""
    tables = []
    for done in ("as is", "head") if head else ("as is",):
        for part, place, count in (("choose", 0, CHOOSING), ("judge", 1, N)):
            for layers, shares in ((wrong or {}).get(done) or WRONG).items():
                predictions = (np.arange(count) < shares[place] * count).astype(int)
                tables.append(
                    pd.DataFrame(
                        {
                            "layers": layers,
                            "done": done,
                            "part": part,
                            "example_id": np.arange(count),
                            "label": np.zeros(count, dtype=int),
                            "prediction": predictions,
                            "logit_0": 1.0 - predictions,
                            "logit_1": 1.0 * predictions,
                        }
                    )
                )
    return pd.concat(tables, ignore_index=True)


def run(failed=False, **more) -> RunSets:
    sets = pd.DataFrame(PROPOSED, columns=["method", "size", "layers"])
    return RunSets(sets, answers(**more), tiny.metrics(failed=failed))


def costs() -> pd.DataFrame:
    sizes = {"1-4": 4, "1-3": 3, "1-2+4": 3, "1-2": 2, "1+4": 2, "1": 1}
    rows = [
        {
            "layers": layers,
            "latency_ms": 10.0 * size,
            "latency_p95_ms": 12.0 * size,
            "latency_ratio": 4 / size,
            "examples_per_second": 100.0 / size,
            "speed_ratio": 4 / size,
            "parameters": 1_000_000 * size,
            "file_mb": 4.0 * size,
            "memory_mb": 500.0,
            "device": "cpu",
            "threads": 2,
        }
        for layers, size in sizes.items()
    ]
    return pd.DataFrame(rows)


def table_of(own: RunSets, seed=1) -> pd.DataFrame:
    table = frontier_of_run(own, TASK, costs(), SETTINGS)
    return table.assign(model="m", task="t", seed=seed)[COLUMNS]


def verdicts(table, done="as is") -> dict[str, str]:
    own = table[(table["done"] == done) & (table["method"] != "full")]
    return dict(zip(own["layers"], own["verdict"], strict=True))


def test_one_set_a_size_is_chosen_and_judged_and_the_others_are_not():
    table = table_of(run())
    assert verdicts(table) == {
        "1-3": "not chosen", "1-2+4": "certified", "1-2": "not chosen", "1+4": "loses more",
        "1": "loses more",
    }  # fmt: skip
    row = table[(table["layers"] == "1-2+4") & (table["method"] == "greedy")].iloc[0]
    assert (row["name"], row["value"], row["difference"]) == ("layers1-2+4", 0.9, 0.0)
    assert row["n_examples"] == N and row["n_choose"] == CHOOSING and row["chosen"]
    assert -0.01 < row["lower_bound"] <= 0 and row["latency_ms"] == 30
    lost = table[table["layers"] == "1-3"].iloc[0]
    assert lost["difference"] == pytest.approx(-0.1)
    assert lost["difference_low"] < -0.1 < lost["difference_high"] < 0
    assert list(table["method"]).count("full") == 1


def test_what_chooses_is_never_what_judges():
    """The chosen set's judging answers are as bad as possible: it stays chosen."""
    wrong = {"as is": WRONG | {"1-2+4": (0.0, 0.9)}}
    table = table_of(run(wrong=wrong))
    assert verdicts(table)["1-2+4"] == "loses more" and verdicts(table)["1-3"] == "not chosen"
    assert frontier_answers(table, SETTINGS).iloc[0]["layers"] == "1-4"


def test_a_sequence_ends_at_the_first_size_that_is_not_certified():
    wrong = {"as is": WRONG | {"1-2+4": (0.05, 0.2), "1+4": (0.2, 0.1)}}
    found = verdicts(table_of(run(wrong=wrong)))
    assert found["1-2+4"] == "loses more" and found["1+4"] == "cannot be told"


def test_few_examples_cannot_tell():
    """Equal on all of a few examples: nothing is certain."""
    own = run()
    few = own.answers[own.answers["example_id"] < 40]
    table = table_of(RunSets(own.proposals, few, own.metrics))
    assert verdicts(table)["1-2+4"] == "cannot be told"


def test_tuned_heads_are_also_held_against_the_full_model_with_its_head_tuned():
    """Which is better by four points: what keeps the full model's score loses those."""
    wrong = {"head": WRONG | {"1-4": (0.06, 0.06)}}
    table = table_of(run(wrong=wrong, head=True))
    assert verdicts(table)["1-2+4"] == "certified"
    assert verdicts(table, "head")["1-2+4"] == "cannot be told"
    row = table[(table["name"] == "layers1-2+4_head") & table["chosen"]].iloc[0]
    assert row["difference"] == 0 and row["from_tuned"] == pytest.approx(-0.04)
    assert row["from_tuned_low"] < -0.04 < row["from_tuned_high"] < 0
    words = frontier_text(frontier_answers(table, SETTINGS))
    assert "(+0.0 points [+0.0, +0.0]; -4.0 points [" in words
    assert (
        "from all layers with the head tuned): if nothing is lost, showing it takes about" in words
    )
    names = set(table.loc[table["done"] == "head", "name"])
    assert names >= {"layers1-2+4_head", "layers1-4_head"}


def test_the_answer_is_the_smallest_certified_with_what_it_costs_and_what_came_next():
    table = pd.concat([table_of(run(), 1), table_of(run(), 2)], ignore_index=True)
    found = frontier_answers(table, SETTINGS)
    assert list(found.columns) == ANSWER_COLUMNS and list(found["exported"]) == [True, False]
    row = found.iloc[0]
    assert (row["layers"], row["size"], row["total_layers"]) == ("1-2+4", 3, 4)
    assert (row["next_layers"], row["next_verdict"]) == ("1+4", "loses more")
    assert row["full"] == 0.9 and row["full_latency_ms"] == 40 and row["latency_ms"] == 30
    assert 0 < row["baseline"] <= 1
    words = frontier_text(found)
    assert "chosen on 400 examples, judged on 2,000 others" in words
    assert "seed 1, without any training: layers 1-2+4 (3 of 4), +0.0 points [+0.0, +0.0]" in words
    assert "1.33 times as fast on one text (30.0 ms, cpu, 2 threads)" in words
    assert "3.0M of 4.0M parameters, 12 of 16 MB; layers 1+4 lose more (-25.0 points [" in words
    summary = in_summary(found, SETTINGS)
    assert list(summary["configuration"]) == ["layers"] and list(summary["seeds"]) == [1]
    assert summary.iloc[0]["certified_parameters_saved"] == 1_000_000


def test_a_run_that_failed_has_no_verdicts_and_is_not_exported():
    table = pd.concat([table_of(run(failed=True), 1), table_of(run(), 2)], ignore_index=True)
    assert set(table.loc[table["seed"] == 1, "verdict"]) == {"failed run"}
    found = frontier_answers(table, SETTINGS)
    assert list(found["note"]) == ["failed run", ""] and list(found["exported"]) == [False, True]
    assert "seed 1: FAILED" in frontier_text(found)
    every = frontier_answers(table_of(run(failed=True)), SETTINGS)
    assert not every["exported"].any() and in_summary(every, SETTINGS).empty


# What was trained after the cut: name -> shares answered wrongly, as of the others.
TRAINED = {
    "layers1-2+4_heal10": (0.04, 0.1),
    "layers1-3_heal10": (0.08, 0.05),
    "cut1-2_tune30": (0.05, 0.11),
    "layers1-2_heal10": (0.06, 0.1),
    "layers1-4_heal10": (0.02, 0.1),
}


def trained(names, own=None) -> list[pd.DataFrame]:
    """Tables of what was trained, as ``answers_of_cut`` makes them."""
    wrong = {"as is": {name: TRAINED[name] for name in names} | (own or {})}
    table = answers(wrong).drop(columns="done").rename(columns={"layers": "name"})
    table["layers"] = [str(TrainedCut.parse(name).kept) for name in table["name"]]
    return [part for _, part in table.groupby("name", sort=False)]


SECONDS = {"full": 100.0} | {name: 10.0 for name in TRAINED}


def of_trained(*names, **more) -> pd.DataFrame:
    made = run()
    return table_of(replace(made, trained=trained(names, **more), seconds=SECONDS))


def test_what_was_trained_is_chosen_and_certified_as_the_others_are():
    table = of_trained(*list(TRAINED)[:4])
    own = table[table["done"] == "trained"].set_index("name")
    assert list(own["method"]) == ["greedy", "top", "top", "top"] and own["from_tuned"].isna().all()
    # Of three layers the first chooses best; of two cut-tune, which loses a point.
    assert own["verdict"].to_dict() == {
        "layers1-2+4_heal10": "certified", "layers1-3_heal10": "not chosen",
        "cut1-2_tune30": "cannot be told", "layers1-2_heal10": "not chosen",
    }  # fmt: skip
    assert own["seconds"].eq(10).all() and own["latency_ms"].tolist() == [30, 30, 20, 20]
    # Healing needs the full model, cutting first does not.
    assert own["seconds_in_all"].tolist() == [110, 110, 10, 110]
    assert verdicts(table)["1-2+4"] == "certified"  # the other categories are as they were
    row = frontier_answers(table, SETTINGS).iloc[-1]
    assert (row["name"], row["way"], row["size"]) == ("layers1-2+4_heal10", "heal", 3)
    assert row["next_name"] == "cut1-2_tune30"
    words = frontier_text(frontier_answers(table, SETTINGS))
    assert (
        "trained after the cut: layers1-2+4_heal10 (3 of 4; healed on labels, 10 steps (1.8 "
        in words
    )
    assert "for cut1-2_tune30 it cannot be told (-1.0 points" in words
    summary = in_summary(frontier_answers(table, SETTINGS), SETTINGS)
    assert list(summary["configuration"]) == ["layers", "layers-trained"]


def test_what_was_trained_is_held_against_the_whole_model_trained_as_long_if_there_is_one():
    """That is better by five points: what keeps the full model's score loses those."""
    table = of_trained(
        "layers1-2+4_heal10", "layers1-4_heal10", own={"layers1-4_heal10": (0, 0.05)}
    )
    own = table[table["done"] == "trained"].set_index("name")
    assert own.loc["layers1-2+4_heal10", "verdict"] == "cannot be told"
    assert own.loc["layers1-2+4_heal10", "from_tuned"] == pytest.approx(-0.05)
    whole = own.loc["layers1-4_heal10"]
    assert whole["method"] == "full" and whole["verdict"] == "" and not whole["chosen"]
    row = frontier_answers(table, SETTINGS).iloc[-1]
    assert row["layers"] == "1-4" and row["full"] == 0.9  # nothing smaller: the model as it is
    assert "from all layers trained as long" in frontier_text(frontier_answers(table, SETTINGS))
    choice = choose_trained("layers-auto_trained", table, frontier_answers(table, SETTINGS), 1)
    assert choice.cut is None and "nothing was cut" in choice.claim


def test_the_smallest_certified_of_what_was_trained_is_exported_by_its_claim():
    table = of_trained(*list(TRAINED)[:4])
    found = frontier_answers(table, SETTINGS)
    choice = choose_trained("layers-auto_trained", table, found, 1)
    assert (str(choice.cut), choice.seed) == ("layers1-2+4_heal10", 1)
    assert "smallest model trained after its cut that is certified" in choice.claim
    other = choose_trained("cut1-2_tune30", table, found, 1)
    assert str(other.cut) == "cut1-2_tune30" and "-1.00 points" in other.claim
    assert "not one of the study's" in choose_trained("cut1_tune3", table, found, 1).claim
    failed = table.assign(verdict="failed run")
    nothing = choose_trained("layers-auto_trained", failed, frontier_answers(failed, SETTINGS), 1)
    assert nothing.cut is None and nothing.claim == "Every run failed: nothing was cut."


def test_equal_candidates_are_settled_by_the_loss_then_by_the_methods_order():
    proposals = pd.DataFrame(
        [
            ("greedy", 2, "1+3", 0.8, 0.3), ("top", 2, "1-2", 0.8, 0.4),
            ("cka", 2, "2-3", 0.7, 0.1),
            ("greedy", 1, "3", 0.5, 0.7), ("top", 1, "1", 0.5, 0.7),
        ],
        columns=["method", "size", "name", "choose_score", "choose_loss"],
    )  # fmt: skip
    assert choose_candidates(proposals) == ["1", "1+3"]


def test_the_front_has_what_nothing_beats_in_score_and_cost():
    points = pd.DataFrame(
        {
            "cost": [1.0, 2.0, 2.0, 3.0, 4.0, np.nan],
            "value": [0.5, 0.7, 0.8, 0.8, 0.9, 1.0],
        }
    )
    assert front(points, "cost")["value"].tolist() == [0.5, 0.8, 0.9]


def test_costs_are_columns_of_the_table():
    assert set(COSTS) <= set(costs().columns) and set(COSTS) < set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)


# ---------------------------------------------------------------- from models to verdicts

RECIPE = replace(SETTINGS_OF_HEADS, converged=ConvergedSettings([3e-3], 0.2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kind", "trained", "layers"),
    [
        ("bert", "classification", True, 4),
        ("albert", "regression", True, 4),
        ("mpnet", "multiple-choice", True, 3),
        ("roberta", "regression", False, 3),
        ("electra", "classification", True, 1),
        ("distilbert", "classification", False, 2),
    ],
)
def test_any_model_and_task_goes_all_the_way_and_through_its_files(
    architecture, kind, trained, layers, tmp_path
):
    """Layers like "3" are names, in every file; a run without train rows has no tuned heads."""
    model, task = tiny.task_model(architecture, kind, layers), tiny.task(kind)
    encoder, head, forward = Encoder(model), Head(model).eval(), ForwardSettings(7)
    parts = {"choose": tiny.rows(kind, 20, 1), "judge": tiny.rows(kind, 24, 2)}
    measuring = Measuring(encoder, head, parts["choose"], task, forward)
    own = Layers.of({"model_type": architecture}, layers)
    found = propose(own, layer_geometry(encoder, parts["choose"], forward), measuring, 8)
    proposals(found, measuring).to_csv(tmp_path / "sets.csv", index=False)
    sets = sets_of(pd.read_csv(tmp_path / "sets.csv"), layers)
    if trained:
        parts["train"] = tiny.rows(kind, 30, 3)
    dump_sets(tmp_path / "sets.h5", encoder, parts, sets, forward)
    with SetVectors.open(tmp_path / "sets.h5") as vectors:
        stack = tune_set_heads(vectors, head, task, RECIPE, 1) if trained else None
        table = answers_of_sets(vectors, head, task, stack)
    save_set_heads(stack, sets, tmp_path / "heads.safetensors")
    for kept in sets:
        assert (load_set_head(tmp_path / "heads.safetensors", kept) is not None) == trained
    # As it is, the whole answers as the model does.
    whole = table[(table["layers"] == str(sets[-1])) & (table["part"] == "judge")]
    as_is = whole[whole["done"] == "as is"]
    expected = answers_of(
        parts["judge"].examples, all_logits(model, parts["judge"], task, forward), task
    )
    np.testing.assert_allclose(as_is["logit_0"], expected["logit_0"], rtol=1e-4, atol=1e-5)
    made_up = costs().drop(columns="layers").head(1)
    table_of_costs = made_up.merge(pd.DataFrame({"layers": map(str, sets)}), how="cross")
    table_of_costs.to_csv(tmp_path / "costs.csv", index=False)
    run = RunSets(pd.read_csv(tmp_path / "sets.csv", dtype=NAMES), table, tiny.metrics())
    read_back = pd.read_csv(tmp_path / "costs.csv", dtype=NAMES)
    judged = frontier_of_run(run, task, read_back, SETTINGS).assign(model="m", task="t", seed=1)[
        COLUMNS
    ]
    assert judged["latency_ms"].notna().all() and set(judged["done"]) == {
        "as is",
        "head",
    }.intersection({"as is", *["head"] * trained})
    frontier_answers(judged, SETTINGS).to_csv(tmp_path / "answers.csv", index=False)
    judged.to_csv(tmp_path / "table.csv", index=False)
    answers, again = (pd.read_csv(tmp_path / f"{n}.csv", dtype=NAMES) for n in ("answers", "table"))
    assert set(again["layers"]) == set(map(str, sets)) and len(answers) == 1 + trained
    assert frontier_text(answers).count("seed 1") == 1 + trained
    for name in ["layers-auto", *again["name"]]:
        choice = choose_set(name, again, answers, 1)
        own.check(choice.kept)
        assert "nan" not in choice.claim
    assert choose_set("layers1", again.head(0), answers, 1).claim.endswith("proposed them.")
