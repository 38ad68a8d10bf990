"""A split's rows, tokenised once, in a file that all runs of a model and task share.

An Arrow file with one record per row that the encoder reads: a list column for each of the
tokenizer's outputs, including ``special_tokens_mask``, and the row's ``example_id``. It is mapped
into memory: nothing is read until it is used.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from strata.data.batches import Features, Rows
from strata.runtime.errors import StrataError
from strata.runtime.files import written_whole
from strata.runtime.progress import Progress

SPECIAL = "special_tokens_mask"
NO_LIMIT = 10**6  # tokens; a tokenizer without a limit gives a huge number
# Their first positions are those up to the padding token's, which no text uses.
BIASED = ("deberta", "deberta-v2")  # with absolute positions as well, if the config says so
OFFSET = ("camembert", "mpnet", "roberta", "xlm-roberta")


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """A model folder's tokenizer (here, so that tokenising imports nothing that models need)."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.padding_side = "right"  # on this side every model can be padded
    return tokenizer


def positions(config: PretrainedConfig) -> int | None:
    """The number of tokens for which a model has positions; None if it takes any number."""
    limit = getattr(config, "max_position_embeddings", None)
    if config.model_type in BIASED and not getattr(config, "position_biased_input", True):
        return None
    if limit is not None and config.model_type in OFFSET:
        return limit - config.pad_token_id - 1
    return limit


def length_limit(
    asked: int | Literal["auto"], folder: str | Path, tokenizer: PreTrainedTokenizerBase
) -> int:
    """The number of tokens that a row is cut to.

    Parameters
    ----------
    asked : int or "auto"
        The config's setting; "auto" is the smaller of what tokenizer and model allow.
    folder : path-like
        The model's folder.

    Raises
    ------
    StrataError
        `asked` is "auto", and neither tokenizer nor model states a limit.
    """
    if asked != "auto":
        return asked
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    limits = (positions(config), tokenizer.model_max_length)
    known = [n for n in limits if n is not None and n < NO_LIMIT]
    if not known and (trained := getattr(config, "max_position_embeddings", None)):
        known = [trained]  # for relative positions, the length it was trained with
    if not known:
        raise StrataError(
            f"Neither config.json nor tokenizer in {folder} says how many tokens a text may have: "
            "set the model's training.max_length to a number."
        )
    return int(min(known))


def write_tokens(path: str | Path, rows: Rows) -> None:
    """Tokenise all rows, a window at a time, into a file that is written whole or not at all."""
    progress = Progress(len(rows), "rows tokenised")
    writer = None
    with written_whole(path) as partial, pa.OSFile(str(partial), "wb") as sink:
        for window in rows.windows():
            examples = slice(window.start // rows.choices, window.stop // rows.choices)
            features, special = rows.tokenize(examples)
            ids = rows.examples["example_id"].iloc[examples].to_numpy()
            columns = {name: [row[name] for row in features] for name in features[0]}
            arrays = {
                name: pa.array(lists, pa.list_(pa.int32() if name == "input_ids" else pa.int8()))
                for name, lists in {**columns, SPECIAL: special}.items()
            }
            arrays["example_id"] = pa.array(np.repeat(ids, rows.choices))
            batch = pa.record_batch(arrays)
            if writer is None:
                writer = pa.ipc.new_file(sink, batch.schema)
            writer.write_batch(batch)
            progress.advance(len(window))
        if writer is not None:
            writer.close()


class TokenisedRows(Rows):
    """Rows whose tokens come from a file of ``write_tokens``.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The model's tokenizer; it only pads.
    examples : DataFrame
        Any of the file's examples, in any order.
    path : path-like
        The token file.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, examples: pd.DataFrame, path: str | Path
    ):
        super().__init__(tokenizer, examples, max_length=0)
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self.parts = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        stored = np.concatenate([part["example_id"].to_numpy() for part in self.parts])
        first = pd.Series(np.arange(len(stored)), stored)[~pd.Index(stored).duplicated()]
        self.first = first[examples["example_id"]].to_numpy()
        self.part_size = len(self.parts[0])

    def tokenize(self, examples: slice | list[int]) -> tuple[Features, list[list[int]]]:
        rows = (self.first[examples][:, None] + np.arange(self.choices)).reshape(-1)
        features = [self._row(row) for row in rows.tolist()]
        return features, [row.pop(SPECIAL) for row in features]

    def _row(self, number: int) -> dict[str, list[int]]:
        part = self.parts[number // self.part_size]
        (row,) = part.slice(number % self.part_size, 1).to_pylist()
        del row["example_id"]
        return row
