"""Whether model folders belong together: checkpoints of a model and its pretrained encoder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from transformers import AutoConfig, PreTrainedTokenizerBase

from strata.data.batches import Rows
from strata.data.tokens import length_limit, load_tokenizer
from strata.runtime.errors import StrataError
from strata.sources.local_files import has_tokenizer

FACTS = {"type": "model_type", "number of layers": "num_hidden_layers", "width": "hidden_size"}
ENCODER, NOWHERE = "its encoder", Path("no folder")
AT_ONCE = 1024  # examples that are tokenised together


def tokenizer_of(folder: Path, encoder: Path, what: str) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, or else that of its pretrained encoder.

    Parameters
    ----------
    encoder : path-like
        The pretrained encoder's folder, which need not exist.
    what : str
        Words for the checkpoint, for messages.

    Raises
    ------
    StrataError
        Neither folder has a tokenizer.
    """
    if has_tokenizer(folder):
        return load_tokenizer(folder)
    if not has_tokenizer(encoder):
        raise StrataError(
            f"{what} has no tokenizer files next to its weights; add them, or register the encoder "
            "that it was made from as 'pretrained'."
        )
    print(f"{what} has no tokenizer: using that of {encoder}", flush=True)
    return load_tokenizer(encoder)


def check_same_model(
    name: str, folders: Mapping[str, Path], examples: pd.DataFrame, asked: int | Literal["auto"]
) -> dict[str, int]:
    """Refuse folders that do not all belong to one model.

    Parameters
    ----------
    name : str
        The model's name.
    folders : mapping of str to path-like
        The folders by their names in messages; the pretrained encoder's name is ENCODER.
    examples : DataFrame
        Examples that all tokenizers must tokenise the same way.
    asked : int or "auto"
        The setting for the number of tokens that a row is cut to.

    Returns
    -------
    dict of str to int
        For each folder, the number of tokens that its rows are cut to.

    Raises
    ------
    StrataError
        Folders differ in type, number of layers, width or tokenizer, or in limits that the texts
        exceed; or there is no tokenizer at all.
    """
    first, *others = folders
    encoder = folders.get(ENCODER, NOWHERE)
    configs = {word: _config(folder) for word, folder in folders.items()}
    for word in others:
        for fact, key in FACTS.items():
            pair = getattr(configs[first], key), getattr(configs[word], key)
            if pair[0] != pair[1]:
                raise StrataError(
                    f"models.{name}: {first} and {word} differ in their {fact} ({pair[0]} and "
                    f"{pair[1]}): register two models."
                )
    tokenizers = {
        word: tokenizer_of(folder, encoder, f"Model '{name}', {word}")
        for word, folder in folders.items()
    }
    limits = {
        word: length_limit(asked, folder, tokenizers[word]) for word, folder in folders.items()
    }
    shortest = min(limits.values())
    rows = {word: Rows(each, examples, shortest) for word, each in tokenizers.items()}
    for word in others:
        pairs = zip(_ids(rows[first]), _ids(rows[word]), strict=True)
        for number, (mine, theirs) in enumerate(pairs, 1):
            if mine != theirs:
                raise StrataError(
                    f"models.{name}: {first} and {word} tokenise a text differently (row {number} "
                    "of the eval examples): register two models."
                )
    if shortest < max(limits.values()) and cut_share(rows[first]):
        told = ", ".join(f"{word} {limit}" for word, limit in limits.items())
        raise StrataError(
            f"models.{name}: some texts are longer than some of its folders allow (tokens: "
            f"{told}); put training: {{max_length: {shortest}}} into the model's entry."
        )
    return {str(folder): limits[word] for word, folder in folders.items()}


def _ids(rows: Rows) -> Iterator[list[int]]:
    for begin in range(0, len(rows.examples), AT_ONCE):
        for features in rows.tokenize(slice(begin, begin + AT_ONCE))[0]:
            yield features["input_ids"]


def cut_share(rows: Rows) -> float:
    """The share of rows that have more tokens than they are cut to."""
    whole = Rows(rows.tokenizer, rows.examples, 10**9)
    return sum(len(ids) > rows.max_length for ids in _ids(whole)) / len(rows)


def _config(folder: Path) -> Any:
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)
