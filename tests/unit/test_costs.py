"""What cut models cost: measured in turn, sizes as they are on disk."""

import pandas as pd
import pytest
from safetensors import safe_open

from helpers import model_types, tiny
from strata.export.costs import COLUMNS, machine, measure_costs, time_in_turn
from strata.export.cut import write_model
from strata.modeling.layer_sets import keep_layers
from strata.study.layer_sets import LayerSet

pytestmark = pytest.mark.slow


def sets(*texts: str) -> list[LayerSet]:
    return list(map(LayerSet.parse, texts))


@pytest.mark.parametrize("kind", ["classification", "multiple-choice"])
def test_sizes_are_those_of_the_written_folder_and_sets_of_a_shape_are_measured_once(
    kind, tmp_path
):
    model, rows = tiny.task_model("bert", kind), tiny.rows(kind, 40)
    table = measure_costs(
        model, tiny.tokenizer(), sets("1-4", "1-3", "2-4", "1+4"), rows, tiny.task(kind), rounds=5
    )
    assert list(table.columns) == COLUMNS
    by_set = table.set_index("layers")
    assert list(by_set["layers_run"]) == [4, 3, 3, 2]
    same = by_set.loc[["1-3", "2-4"]].drop(columns="layers_run")
    assert same.nunique().max() == 1  # three BERT layers are three BERT layers
    write_model(keep_layers(model, (1, 4)), tiny.tokenizer(), tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        count = sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118
    assert by_set.loc["1+4", "parameters"] == count
    size = (tmp_path / "model.safetensors").stat().st_size / 1e6
    assert by_set.loc["1+4", "file_mb"] == pytest.approx(size)
    full = by_set.loc["1-4"]
    assert full["latency_ratio"] == full["speed_ratio"] == 1 and full["device"] == machine()
    assert (table["latency_p95_ms"] >= table["latency_ms"]).all() and (
        table["memory_mb"] > 50
    ).all()


def test_layers_of_other_kinds_are_other_shapes():
    """ModernBERT's layers attend to all or to a window; which of them are kept counts."""
    model = model_types.model("modernbert")
    kinds = model.config.layer_types
    assert len(set(kinds)) == 2
    pairs = {"1-2": kinds[1], "1+3": kinds[2], "1+4": kinds[3]}
    chosen = sets("1-4", *pairs)
    rows = tiny.rows(count=8)
    table = measure_costs(model, tiny.tokenizer(), chosen, rows, tiny.task(), rounds=5)
    measured = table.set_index("layers")["measured_as"]
    by_kind = pd.Series(pairs)
    assert measured[by_kind.index].groupby(by_kind).nunique().eq(1).all()
    assert measured[by_kind.index].nunique() == by_kind.nunique()


def test_every_round_times_every_text_of_every_set():
    model, rows = tiny.task_model("mpnet"), tiny.rows(count=20)
    chosen = sets("1-4", "1-2")
    timed = time_in_turn(model, chosen, rows, tiny.task(), rounds=6)
    assert {kept: each.alone.shape for kept, each in timed.items()} == dict.fromkeys(
        chosen, (6, 20)
    )
    assert all((each.alone > 0).all() and (each.together > 0).all() for each in timed.values())
    assert len(model.mpnet.encoder.layer) == model.config.num_hidden_layers == 4


def test_the_machine_is_named(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763\ncache size\t: 512 KB\n")
    assert machine(cpuinfo) == "AMD EPYC 7763" and machine(tmp_path / "none")
