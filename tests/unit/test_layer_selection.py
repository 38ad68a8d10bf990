"""Methods that choose layers: against brute force, formulas by hand, and models built for it."""

from itertools import combinations

import numpy as np
import pytest
import torch

from helpers import tiny
from strata.analysis.calibration import mean_loss
from strata.analysis.cka import cka
from strata.analysis.layer_geometry import Geometry, layer_geometry
from strata.analysis.layer_selection import Measured, Measuring, proposals, propose
from strata.modeling.encoder import Encoder
from strata.modeling.head import Head
from strata.modeling.inference import all_logits
from strata.modeling.layer_sets import keep_layers
from strata.study.layer_sets import METHODS, Layers, LayerSet
from strata.study.settings import ForwardSettings

L = 6
FORWARD = ForwardSettings(5)


def flat(layers: int = L) -> Geometry:
    """Geometry that prefers nothing."""
    return Geometry(np.ones(layers), np.ones((layers + 1, layers + 1)), np.zeros(layers))


def by_worth(worth: dict[int, float]):
    """A measure to which each kept layer adds its worth."""

    def measure(sets):
        return {kept: Measured(sum(worth[k] for k in kept.layers), 0.0) for kept in sets}

    return measure


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_brute_force_where_each_layer_adds_its_own_worth(seed):
    """It must be: the best set of a size is that of the worthiest layers."""
    worth = dict(enumerate(np.random.default_rng(seed).random(L), 1))
    found = propose(Layers(L, "bert"), flat(), by_worth(worth), most_layers=L)
    for size in range(1, L):
        best = max(combinations(range(1, L + 1), size), key=lambda s: sum(worth[k] for k in s))
        for method in ("greedy", "skipping", "every"):
            assert found[method, size] == LayerSet(best), method


def test_every_set_finds_what_greedy_misses():
    """Layers 1 and 2 are worth something only together; greedy leaves one of them out first."""

    def measure(sets):
        return {
            s: Measured(2.0 * ({1, 2} <= {*s.layers}) + 0.9 * len({3, 4} & {*s.layers}), 0.0)
            for s in sets
        }

    found = propose(Layers(4, "bert"), flat(4), measure, most_layers=4)
    assert str(found["every", 2]) == "1-2"
    assert found["greedy", 3] in (LayerSet.parse("1-2+4"), LayerSet.parse("1-3"))
    assert ("every", 2) not in propose(Layers(4, "bert"), flat(4), measure, most_layers=3)


def test_equal_scores_are_settled_by_the_loss():
    def measure(sets):
        return {s: Measured(0.5, float(3 in s.layers)) for s in sets}

    found = propose(Layers(4, "bert"), flat(4), measure, most_layers=4)
    assert all(3 in found["greedy", size].layers for size in (1, 2, 3))


def test_ranked_methods_leave_out_what_they_rank_lowest():
    influence = np.array([0.5, 0.1, 0.4, 0.3])
    neighbours = np.array([np.nan, 0.2, 0.9, 0.8])  # undefined: left out last
    angles = np.full((5, 5), 0.9)
    angles[1, 3] = 0.1  # over layers 2 and 3
    found = propose(
        Layers(4, "bert"),
        Geometry(influence, angles, neighbours),
        by_worth(dict.fromkeys(range(1, 5), 0)),
        0,
    )
    assert [str(found["block-influence", n]) for n in (3, 2, 1)] == ["1+3-4", "1+3", "1"]
    assert [str(found["cka", n]) for n in (3, 2, 1)] == ["1-2+4", "1-2", "1"]
    assert str(found["angular", 2]) == "1+4"
    assert [str(found["top", n]) for n in (3, 2, 1)] == ["1-3", "1-2", "1"]


@pytest.mark.parametrize(
    ("layers", "always"),
    [
        (Layers(5, "modernbert", first="it has no attention norm"), lambda s: s.layers[0] == 1),
        (Layers(5, "gpt2", places="scale_attn_by_inverse_layer_idx"), lambda s: s.is_top_cut),
        (Layers(5, "albert", shared=True), lambda s: s.is_top_cut),
    ],
)
def test_no_method_proposes_what_a_checkpoint_cannot_hold(layers, always):
    worth = {k: float(k) for k in range(1, 6)}  # the first layer is worth least
    found = propose(layers, flat(5), by_worth(worth), most_layers=8)
    assert found and all(always(kept) for kept in found.values())
    named = {method for method, _ in found}
    assert named == ({"top"} if layers.shared else set(METHODS))


@pytest.mark.parametrize("kind", ["classification", "regression", "multiple-choice"])
def test_sets_are_measured_as_the_cut_models_answer(kind):
    model, task, rows = tiny.task_model("bert", kind), tiny.task(kind), tiny.rows(kind, 20)
    measuring = Measuring(Encoder(model), Head(model).eval(), rows, task, FORWARD)
    kept = LayerSet.parse("1+3-4")
    (found,) = measuring([kept]).values()
    cut = keep_layers(tiny.task_model("bert", kind), kept.layers)
    logits = all_logits(cut, rows, task, ForwardSettings(20))
    labels = rows.examples["label"].to_numpy().copy()
    if kind == "regression":
        loss = np.mean((logits[:, 0].numpy() - labels) ** 2)
        right = np.corrcoef(logits[:, 0].numpy(), labels)[0, 1]
    else:
        answers = logits[:, 0].view(20, 3) if kind == "multiple-choice" else logits
        loss = torch.nn.functional.cross_entropy(answers, torch.from_numpy(labels)).item()
        right = np.mean(answers.argmax(1).numpy() == labels)
    assert found == pytest.approx((right, -loss), abs=1e-5)


def test_layers_that_do_nothing_are_left_out_first_by_all_that_measure_or_look():
    """A model whose layers 2 and 5 add nothing to what they read, by construction."""
    model = silenced(tiny.task_model("bert", layers=L), (2, 5))
    measuring = Measuring(
        Encoder(model), Head(model).eval(), tiny.rows(count=40), tiny.task(), FORWARD
    )
    geometry = layer_geometry(measuring.encoder, measuring.rows, FORWARD)
    found = propose(Layers(L, "bert"), geometry, measuring, most_layers=L)
    assert geometry.influence[[1, 4]] == pytest.approx(0, abs=1e-6)
    assert str(found["block-influence", 4]) == "1+3-4+6"
    assert geometry.neighbours[[1, 4]] == pytest.approx(1, abs=1e-6)
    assert str(found["cka", 4]) == "1+3-4+6"
    whole = measuring([LayerSet.top_cut(L)])[LayerSet.top_cut(L)]
    for method in ("greedy", "every"):
        assert measuring([found[method, 4]])[found[method, 4]].score >= whole.score - 1e-9
    table = proposals(found, measuring)
    assert list(table["size"]) == sorted(table["size"], reverse=True)
    assert set(table["method"]) == set(METHODS) and len(table) == len(METHODS) * (L - 1)
    # Every set once, whatever asked for it.
    assert len(measuring.table()) == 2**L - 1


class Through(torch.nn.Module):
    """A layer that gives back what it reads."""

    def forward(self, hidden, *_, **__):
        return hidden


def silenced(model, layers):
    """A BERT some of whose layers do nothing."""
    for number in layers:
        model.bert.encoder.layer[number - 1] = Through()
    return model


def test_the_loss_of_classes_is_their_negative_log_likelihood():
    labels, logits = np.array([0, 1]), np.array([[0.0, 0.0], [0.0, np.log(3)]])
    expected = (np.log(2) + np.log(4 / 3)) / 2
    assert mean_loss(labels, logits, tiny.task()) == pytest.approx(expected)


def test_geometry_is_what_its_formulas_say():
    model, rows = tiny.task_model("electra"), tiny.rows(count=12)
    found = layer_geometry(Encoder(model), rows, FORWARD)
    cosines, pooled = [], []
    for number in range(12):
        features, special = rows.tokenize([number])
        inputs = {name: torch.tensor([values]) for name, values in features[0].items()}
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        plain = [i for i, s in enumerate(special[0]) if not s]
        cosines.append(
            [
                [torch.cosine_similarity(a[0, plain], b[0, plain], dim=-1) for b in states]
                for a in states
            ]
        )
        pooled.append([state[0, 0].numpy() for state in states])
    for layer in range(1, 5):
        mean = np.mean([row[layer - 1][layer].mean().item() for row in cosines])
        assert found.influence[layer - 1] == pytest.approx(1 - mean, abs=1e-5)
    angle = np.mean([(torch.arccos(row[1][3]) / np.pi).mean().item() for row in cosines])
    assert found.angles[1, 3] == pytest.approx(angle, abs=1e-5)
    vectors = np.array(pooled)
    assert np.isnan(found.neighbours[0])  # the first token's embedding is the same in every row
    expected = cka(vectors[:, 2], vectors[:, 1], debiased=True)
    assert found.neighbours[1] == pytest.approx(expected, abs=1e-5)


def test_a_model_of_one_layer_has_nothing_to_leave_out():
    measuring = Measuring(
        Encoder(tiny.task_model("bert", layers=1)), Head(tiny.task_model("bert", layers=1)).eval(),
        tiny.rows(), tiny.task(), FORWARD,
    )  # fmt: skip
    found = propose(
        Layers(1, "bert"), layer_geometry(measuring.encoder, measuring.rows, FORWARD), measuring, 8
    )
    assert found == {} and proposals(found, measuring).empty and measuring.table().empty
