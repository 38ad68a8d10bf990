"""Whether model folders belong together: checkpoints of a model, and the encoder it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, PreTrainedTokenizerBase

from strata.data.batches import Rows
from strata.data.tokens import length_limit, load_tokenizer
from strata.runtime.errors import StrataError
from strata.sources.local_files import has_tokenizer

FACTS = {"type": "model_type", "number of layers": "num_hidden_layers", "width": "hidden_size"}


def tokenizer_of(folders: Sequence[Path], what: str) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, or else that of the encoder that it is from.

    Parameters
    ----------
    folders : the checkpoint's, then those that may stand in for it.
    what : the checkpoint, for messages.

    Raises
    ------
    StrataError : none of them has a tokenizer.
    """
    having = [folder for folder in folders if has_tokenizer(folder)]
    if not having:
        raise StrataError(
            f"{what} has no tokenizer files beside its weights; add them, or register the encoder "
            "that it was made from as 'pretrained'."
        )
    if having[0] != folders[0]:
        print(f"{what} has no tokenizer: that of {having[0]} is taken", flush=True)
    return load_tokenizer(having[0])


def check_same_model(
    own: Rows, folder: Path, others: Mapping[str, Path], asked: int | Literal["auto"], what: str
) -> None:
    """Refuse a checkpoint that does not belong with the other folders of its model.

    Parameters
    ----------
    own : the eval examples as the checkpoint reads them.
    folder : the checkpoint's.
    others : words for a folder -> the folder.
    asked : tokens that a row is cut to.
    what : the checkpoint, for messages.

    Raises
    ------
    StrataError : another type, number of layers or width, or other token ids.
    """
    config = _config(folder)
    for name, other in others.items():
        theirs = _config(other)
        for fact, key in FACTS.items():
            if getattr(config, key) != getattr(theirs, key):
                raise StrataError(
                    f"{what} and {name} differ in their {fact} ({getattr(config, key)} and "
                    f"{getattr(theirs, key)}): register two models."
                )
        if has_tokenizer(other):
            tokenizer = load_tokenizer(other)
            rows = Rows(tokenizer, own.examples, length_limit(asked, other, tokenizer))
            _check_tokens(own, rows, what, name)


def _check_tokens(own: Rows, other: Rows, what: str, name: str) -> None:
    for row, pair in enumerate(zip(_ids(own), _ids(other), strict=True), 1):
        if pair[0] != pair[1]:
            raise StrataError(
                f"{what} and {name} read a text as other tokens (row {row} of the eval examples): "
                "register two models."
            )


def _ids(rows: Rows) -> list[list[int]]:
    return [features["input_ids"] for features in rows.tokenize(slice(None))[0]]


def cut_share(rows: Rows) -> float:
    """The share of rows that have more tokens than they are cut to."""
    whole = Rows(rows.tokenizer, rows.examples, 10**9)
    return sum(len(ids) > rows.max_length for ids in _ids(whole)) / len(rows)


def _config(folder: Path) -> Any:
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)
