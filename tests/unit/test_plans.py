"""The runs and comparisons that a study asks for."""

from strata.study.plans import (
    compared_states,
    count_reinit_runs,
    drawn_parts,
    layer_blocks,
    planned_runs,
    reinit_pairs,
    selection_runs,
    selection_variants,
)

SETTINGS = {
    "progressive": {"sizes": [500, "all"], "seeds": [1, 2], "step": 1},
    "kept_norms": None,
    "faster_layers": None,
    "localized": {"block": 3, "stride": 3, "inverse": True, "size": 500, "seeds": [1]},
    "permutation": {"count": 2, "size": "all", "seeds": [1]},
    "probing": {"sizes": [500], "seeds": [1], "step": 1},
}


def strings(part, layers=4, **changes):
    return [str(p.variant) for p in planned_runs(part, SETTINGS | changes, layers)]


def test_progressive_goes_from_none_to_all_preserved():
    plan = planned_runs("progressive", SETTINGS, 3)
    assert len(plan) == 4 * 2 * 2
    small = [p for p in plan if p.variant.size == 500 and p.seed == 1]
    assert [(p.position, str(p.variant)) for p in small] == [
        (0, "reinit1-3_n500"),
        (1, "reinit2-3_n500"),
        (2, "reinit3-3_n500"),
        (3, "full_n500"),
    ]
    assert {str(p.variant) for p in plan if p.variant.size is None} == {
        "reinit1-3", "reinit2-3", "reinit3-3", "full",
    }  # fmt: skip


def test_a_step_skips_depths_but_not_the_ends():
    wide = SETTINGS["progressive"] | {"sizes": ["all"], "seeds": [1], "step": 2}
    plan = planned_runs("progressive", {"progressive": wide}, 5)
    assert [p.position for p in plan] == [0, 2, 4, 5]


def test_kept_norms_stand_beside_reset_ones():
    own = {"kept_norms": {"sizes": ["all"], "seeds": [1], "step": 2}}
    found = planned_runs("kept-norms", own, 4)
    assert {(p.series, str(p.variant)) for p in found} == {
        ("kept-norms", "reinit1-4ln"), ("kept-norms", "reinit3-4ln"), ("kept-norms", "full"),
        ("reinitialised", "reinit1-4"), ("reinitialised", "reinit3-4"), ("reinitialised", "full"),
    }  # fmt: skip


def test_faster_layers_stand_beside_those_of_one_rate():
    own = {"faster_layers": {"factor": 5, "sizes": [500], "seeds": [1], "step": 2}}
    found = planned_runs("faster-layers", own, 4)
    assert [(p.series, p.position, str(p.variant)) for p in found] == [
        ("faster", 0, "reinit1-4x5_n500"),
        ("faster", 2, "reinit3-4x5_n500"),
        ("faster", 4, "full_n500"),
        ("reinitialised", 0, "reinit1-4_n500"),
        ("reinitialised", 2, "reinit3-4_n500"),
        ("reinitialised", 4, "full_n500"),
    ]


def test_localized_blocks_their_inverse_and_their_references():
    assert strings("localized", 6) == [
        "reinit1-3_n500", "keep1-3_n500", "reinit4-6_n500", "keep4-6_n500",
        "full_n500", "reinit1-6_n500",
    ]  # fmt: skip


def test_every_layer_is_in_a_block():
    assert layer_blocks(12, 3, 3) == [(1, 3), (4, 6), (7, 9), (10, 12)]
    assert layer_blocks(5, 3, 3) == [(1, 3), (4, 5)]
    assert layer_blocks(5, 3, 1) == [(1, 3), (2, 4), (3, 5)]
    assert layer_blocks(2, 3, 3) == [(1, 2)]


def test_permutations_and_probes():
    assert strings("permutation") == ["permute1", "permute2", "full"]
    assert strings("probing", 3) == ["probe1_n500", "probe2_n500", "probe3_n500"]
    wide = {"probing": SETTINGS["probing"] | {"step": 2}}
    assert strings("probing", 5, **wide) == ["probe2_n500", "probe4_n500", "probe5_n500"]


def study(tasks, models=("m",), **sections):
    """A config of models with four layers of their own, and tasks of a thousand examples."""
    own = {"source": "hub:a/b", "architecture": "bert", "layers": 4}
    return {
        "study": {"models": list(models), "tasks": list(tasks)},
        "models": {name: own for name in models},
        "tasks": {name: {"train_examples": 1000} for name in tasks},
        "reinit": SETTINGS | {"models": None, "scheme": "paper"},
        **sections,
    }


def test_a_part_that_is_null_has_no_runs():
    assert planned_runs("kept-norms", SETTINGS, 4) == []


def test_runs_that_parts_share_are_counted_once():
    # progressive 5 x 2 x 2; localized adds keep1-3, reinit1-3, keep4-4 (full, reinit1-4, reinit4-4
    # are there); permutation 2; probing 4
    assert count_reinit_runs(study(["t"])) == 20 + 3 + 2 + 4
    assert count_reinit_runs(study(["t", "u"])) == 2 * 29
    assert count_reinit_runs(study(["t"], models=["m", "n"])) == 2 * 29


def test_models_that_share_layers_have_no_part_and_parts_without_runs_no_figure():
    shared = study(["t"], models=["m", "albert"])
    shared["models"]["albert"] = shared["models"]["m"] | {"architecture": "albert"}
    assert reinit_pairs(shared, "progressive") == [("m", "t")]
    assert drawn_parts(shared) == ["progressive", "localized", "permutation"]
    only = SETTINGS | {"models": None, "progressive": None, "localized": None, "permutation": None}
    assert drawn_parts(study(["t"], reinit=only)) == ["progressive"]  # it shows probing


def test_a_selected_depth_is_read_from_the_table(tmp_path):
    table = tmp_path / "nu.csv"
    table.write_text("depth,nu,selected\n1,0.5,False\n2,0.25,True\n3,0.3,False\n")
    config = study(["t"], variability={"top": [1], "size": 500})
    variants = [run["variant"] for run in selection_runs(config, "m", table)]
    assert variants == [
        "full_n500",
        "lora_n500",
        "adapter_n500",
        "head2top1_n500",
        "head4top1_n500",
        "lora2-2_n500",
        "adapter2-2_n500",
    ]


def test_the_states_that_are_compared():
    pairs = [(str(y), str(x)) for y, x in compared_states([1, 3])]
    assert pairs == [
        ("pretrained", "pretrained"),
        ("full-seed1", "pretrained"),
        ("full-seed1", "full-seed1"),
        ("full-seed3", "pretrained"),
        ("full-seed3", "full-seed3"),
        ("full-seed1", "full-seed3"),
    ]
    assert len(compared_states([1])) == 3


def test_layer_selection_against_what_else_one_might_train():
    found = {(p["comparison"], p["top"]): p for p in selection_variants(2, 6, [1, 3], False)}
    assert found["selected", 1]["variant"] == "head2top1"
    assert found["last", 3]["variant"] == "head6top3"
    assert found["lora-selected", 1]["variant"] == "lora2-2"
    assert found["whole", None]["variant"] == "full" and found["lora", None]["variant"] == "lora"
    assert found["adapter-selected", 1]["variant"] == "adapter2-2"
    assert found["adapter", None]["variant"] == "adapter"
    for comparison in ("selected", "lora-selected", "adapter-selected"):
        assert found[comparison, 3]["variant"] is None
        assert found[comparison, 3]["reason"] == "depth 2 has fewer than 3 layers"


def test_layer_selection_of_shared_layers_has_cells_with_a_reason():
    found = {(p["comparison"], p["top"]): p for p in selection_variants(2, 6, [1, 2], True)}
    assert found["selected", 2]["variant"] == "head2top2"  # all of them
    for key in (("selected", 1), ("last", 1), ("lora-selected", 2), ("adapter-selected", 1)):
        assert found[key]["variant"] is None
        assert "layers share their weights" in found[key]["reason"]
