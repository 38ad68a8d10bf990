"""The grammar of variants: parses, prints back, refuses, and knows what a model can do."""

import re

import pytest

from strata.study.variants import Variant

GOOD = {
    "full": {},
    "full_n500": {"size": 500},
    "reinit7-12": {"kind": "reinit", "first": 7, "last": 12},
    "reinit3-3": {"kind": "reinit", "first": 3, "last": 3},
    "reinit7-12ln_n500": {
        "kind": "reinit",
        "first": 7,
        "last": 12,
        "keep_norms": True,
        "size": 500,
    },
    "reinit7-12x5": {"kind": "reinit", "first": 7, "last": 12, "faster": 5},
    "reinit7-12lnx5_n500": {
        "kind": "reinit",
        "first": 7,
        "last": 12,
        "keep_norms": True,
        "faster": 5,
        "size": 500,
    },
    "keep3-5x10": {"kind": "keep", "first": 3, "last": 5, "faster": 10},
    "keep3-5": {"kind": "keep", "first": 3, "last": 5},
    "keep3-5ln": {"kind": "keep", "first": 3, "last": 5, "keep_norms": True},
    "permute3_n5000": {"kind": "permute", "permutation": 3, "size": 5000},
    "probe4": {"kind": "probe", "depth": 4},
    "head8top2": {"kind": "head", "depth": 8, "top": 2},
    "head8top8_n1": {"kind": "head", "depth": 8, "top": 8, "size": 1},
    "lora": {"kind": "lora"},
    "lora_n20": {"kind": "lora", "size": 20},
    "lora7-12": {"kind": "lora", "first": 7, "last": 12},
    "adapter": {"kind": "adapter"},
    "adapter_n20": {"kind": "adapter", "size": 20},
    "adapter7-12": {"kind": "adapter", "first": 7, "last": 12},
}
BAD = [
    "", "Full", "full_n0", "full_n", "full_n05", "full_n-1", "full_n5k", "full ", "full\n",
    "full_n1_n2", "nofull", "head8", "head8top", "head0top1", "head4top0", "reinit", "reinit3",
    "reinit0-2", "reinit3-", "reinit-3", "keep0-1", "permute", "permute0", "probe0", "probe",
    "lora0-1", "lora3", "adapter0-1", "adapter3", "adapters", "adapter1-2ln", "fullln",
    "reinit1-2x", "reinit1-2x0", "reinit1-2x1", "reinit1-2x05", "reinit1-2x5ln", "reinit1-2_n5x5",
    "reinit1-2x5x5", "reinit1-2x2.5", "fullx5", "permute1x5", "lora1-2x5", "probe3x5",
    "probe3ln", "reinit1-2ln3", "full_n\u0661", "reinit1-2/",
]  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), GOOD.items())
def test_variants_parse_and_print_back(text, fields):
    assert Variant.parse(text) == Variant(**fields)
    assert str(Variant.parse(text)) == text == str(Variant(**fields))
    assert re.fullmatch(Variant.PATTERN, text)


@pytest.mark.parametrize("text", BAD)
def test_other_strings_are_refused_by_name(text):
    with pytest.raises(ValueError) as caught:
        Variant.parse(text)
    assert f"'{text}'" in str(caught.value)


def test_a_reversed_range_says_how_to_write_it():
    with pytest.raises(ValueError, match="'reinit7-3' names a reversed range.*write 3-7"):
        Variant.parse("reinit7-3")


def test_more_trained_layers_than_there_are():
    with pytest.raises(ValueError, match="'head2top3' trains more layers than there are"):
        Variant.parse("head2top3")


@pytest.mark.parametrize("text", GOOD)
def test_a_checkpoint_is_kept_or_not(text):
    kept, ablated = re.fullmatch(Variant.KEPT, text), re.fullmatch(Variant.ABLATED, text)
    assert bool(kept) != bool(ablated) and bool(kept) == (text == "full")


@pytest.mark.parametrize(
    "text",
    [
        "reinit7-13", "keep13-13", "probe13", "head13top1", "lora12-13", "adapter12-13",
        "reinit1-13_n5", "reinit7-13x5",
    ],
)  # fmt: skip
def test_layers_beyond_the_model_are_refused(text):
    with pytest.raises(ValueError, match=f"'{text}' names layer 13, but the model has 12"):
        Variant.parse(text).check(12, shares_layers=False)
    Variant.parse(text).check(13, shares_layers=False)


@pytest.mark.parametrize(
    "text", ["reinit1-2", "keep1-1x5", "permute1", "lora1-2", "adapter1-2", "head3top2"]
)
def test_some_of_shared_layers_have_no_meaning(text):
    with pytest.raises(ValueError, match="shares one layer's weights among all depths"):
        Variant.parse(text).check(12, shares_layers=True)


@pytest.mark.parametrize("text", GOOD)
def test_what_fits_any_model_names_no_layer(text):
    variant = Variant.parse(text)
    named = variant.first or variant.depth or variant.permutation
    assert variant.fits_any_model == (not named)
    if variant.fits_any_model:
        variant.check(1, shares_layers=True)


@pytest.mark.parametrize("text", ["full", "probe3", "head3top3", "lora", "adapter", "full_n5"])
def test_shared_layers_can_be_used_as_a_whole(text):
    Variant.parse(text).check(12, shares_layers=True)
