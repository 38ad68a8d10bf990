"""The blocks of a study as a table, what is the same in every run, and the finding in words."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import pandas as pd

from strata.analysis.activations import Activations
from strata.analysis.blocks import (
    KINDS,
    BlockFinding,
    StateMaps,
    compared,
    own_blocks,
    state_maps,
)
from strata.analysis.cka_tables import gold_rows
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics
from strata.study.settings import CkaSettings
from strata.study.states import PRETRAINED, State

DEPTHS = ("early_begin", "early_end", "late_begin")


def state_blocks(
    finetuned: Activations, pretrained: Activations | None, settings: CkaSettings
) -> pd.DataFrame:
    """Blocks of a fine-tuned and of the pretrained encoder: one row per state, pooling and kind.

    Parameters
    ----------
    finetuned : Activations
        Representations of the run.
    pretrained : Activations or None
        Representations of the same examples by the pretrained encoder; if None, the table does not
        say whether fine-tuning made the blocks.

    Returns
    -------
    DataFrame
        Columns state, pooling, kind, the fields of ``blocks.Block``, layers, n (rows compared),
        n_examples.

    Raises
    ------
    StrataError
        The files contain different examples.
    """
    examples = finetuned.examples()
    if pretrained is not None and not examples.equals(pretrained.examples()):
        raise StrataError(
            f"{finetuned.path} and {pretrained.path} contain different examples; delete both and "
            "run again."
        )
    gold = settings.choice == "gold" and finetuned.choices > 1
    rows = gold_rows(examples["label"], finetuned.choices) if gold else slice(None)
    choices, own = 1 if gold else finetuned.choices, str(finetuned.attributes["state"])
    parts = []
    for pooling in finetuned.poolings:
        after = _maps(finetuned, pooling, rows, choices, settings)
        found = {own: own_blocks(after)}
        if pretrained is not None:
            before = _maps(pretrained, pooling, rows, choices, settings)
            found = {own: compared(after, before), str(PRETRAINED): own_blocks(before)}
        for name, blocks in found.items():
            rows_of = _rows(name, pooling, blocks).assign(layers=len(after.value))
            # Without the pretrained encoder nobody knows what fine-tuning made.
            parts.append(rows_of.assign(made=None) if pretrained is None else rows_of)
    counts = {"n": len(examples) * choices, "n_examples": len(examples)}
    return pd.concat(parts, ignore_index=True).assign(**counts)


def _maps(
    file: Activations,
    pooling: str,
    rows: slice | np.ndarray,
    choices: int,
    settings: CkaSettings,
) -> StateMaps:
    first = file.depths(pooling).index(1)  # depth 0 is not the output of a layer
    vectors = file.vectors(pooling)[first:, rows]
    return state_maps(vectors, settings.resamples, 0, settings.memory_mb, choices)


def _rows(state: str, pooling: str, found: BlockFinding) -> pd.DataFrame:
    names = {"state": state, "pooling": pooling}
    return pd.DataFrame([{**names, "kind": kind, **asdict(getattr(found, kind))} for kind in KINDS])


def blocks_table(
    model: str, task: str, tables: Iterable[pd.DataFrame], runs: Mapping[int, RunMetrics]
) -> pd.DataFrame:
    """The blocks of every run of a model and task, and the pretrained encoder's.

    Parameters
    ----------
    tables : iterable of DataFrame
        The tables from ``state_blocks`` of each run.
    runs : mapping of int to RunMetrics
        The metrics of each seed's run.

    Returns
    -------
    DataFrame
        Their rows with model, task, seed, failed (the run does not beat its baseline) and, for runs
        that did not fail, seeds_agree_early_end, seeds_agree_late_begin (share of the other such
        runs with the same j, k), made_in_every_run (fine-tuning made the block in all of them).
    """
    table = pd.concat(tables, ignore_index=True)
    table = table.drop_duplicates(["state", "pooling", "kind"], ignore_index=True)
    seeds = [State.parse(state).seed for state in table["state"]]
    table = table.assign(
        model=model,
        task=task,
        seed=pd.array(seeds, "Int64"),
        failed=[seed is not None and runs[seed].failed for seed in seeds],
        seeds_agree_early_end=np.nan,
        seeds_agree_late_begin=np.nan,
        made_in_every_run=pd.Series([False] * len(table), dtype=object),
    )
    table[list(DEPTHS)] = table[list(DEPTHS)].astype("Int64")
    for kind, pooling in product(KINDS, table["pooling"].unique()):
        kept = _runs(table, kind, pooling)
        unknown = len(kept) and kept["made"].isna().all()
        table.loc[kept.index, "made_in_every_run"] = None if unknown else _made(kept)
        for depth in ("early_end", "late_begin"):
            table.loc[kept.index, f"seeds_agree_{depth}"] = _agreement(kept[depth])
    first = ["model", "task", "seed", "state", "pooling", "kind"]
    last = ["layers", "n", "n_examples", "failed"]
    return table[[*first, *table.columns.drop([*first, *last]), *last]]


def _agreement(depths: pd.Series) -> list[float]:
    """For each run's depth, the share of the other runs with the same depth; NaN without others."""
    others = len(depths) - 1
    if not others or depths.isna().any():
        return [np.nan] * len(depths)
    return [(int((depths == own).sum()) - 1) / others for own in depths]


@dataclass(frozen=True)
class MadeBlocks:
    """The depths that belong to a block made by fine-tuning in every run that did not fail.

    Attributes
    ----------
    late_begin : int or None
        First depth of the late block; None if fine-tuning made none.
    early_begin, early_end, two_late_begin : int or None
        The bounds of two blocks; None if fine-tuning made none.
    """

    late_begin: int | None = None
    early_begin: int | None = None
    early_end: int | None = None
    two_late_begin: int | None = None


def made_blocks(table: pd.DataFrame, pooling: str = "raw") -> MadeBlocks:
    """The blocks that fine-tuning made, from a pair's ``blocks_table``."""
    late, two = (_runs(table, kind, pooling) for kind in KINDS)
    depths = {}
    if _made(late):
        depths["late_begin"] = int(late["late_begin"].max())
    if _made(two):
        depths["early_begin"] = int(two["early_begin"].max())
        depths["early_end"] = int(two["early_end"].min())
        depths["two_late_begin"] = int(two["late_begin"].max())
    return MadeBlocks(**depths)


def _runs(table: pd.DataFrame, kind: str, pooling: str) -> pd.DataFrame:
    """The rows of runs that did not fail."""
    wanted = (table["kind"] == kind) & (table["pooling"] == pooling)
    return table[wanted & table["seed"].notna() & ~table["failed"].astype(bool)]


def _made(runs: pd.DataFrame) -> bool:
    return bool(len(runs)) and bool(runs["made"].eq(True).all())


def block_words(table: pd.DataFrame, pooling: str = "raw") -> str:
    """What was found about blocks in a pair's ``blocks_table``, in words.

    Separations are in brackets, one per seed; for blocks that were found, with their one-sided 95 %
    lower bounds over examples.
    """
    runs = [_runs(table, kind, pooling) for kind in KINDS]
    if runs[0].empty:
        return "every run failed, so there is nothing to say of blocks"
    if pd.concat(runs)["separation_low"].isna().all():
        return "blocks cannot be told: too few layers or examples, or CKA is undefined"
    kinds = [_kind_words(table, kind, pooling) for kind in KINDS]
    seeds = f"{len(runs[0])} seed{'s' if len(runs[0]) > 1 else ''}"
    return f"{'; '.join(kinds)} ({seeds}, {int(runs[0]['n_examples'].iloc[0])} examples)"


def _kind_words(table: pd.DataFrame, kind: str, pooling: str) -> str:
    name, runs = {"late": "late block", "two": "two blocks"}[kind], _runs(table, kind, pooling)
    one = "a " * (kind == "late") + name
    if runs["separation"].isna().all():
        return f"whether there is {one} cannot be told"
    found = runs[runs["found"].astype(bool)]
    if found.empty:
        return f"no {name} found (separation {_numbers(runs['separation'])})"
    plural = "s" * (len(found) > 1)
    words = (
        f"{one}, {_places(found, kind)} (separation {_numbers(found['separation'])}, lower "
        f"bound{plural} {_numbers(found['separation_low'])})"
    )
    if _made(runs):
        return f"fine-tuning made {words}"
    if len(found) < len(runs):
        return f"in {len(found)} of {len(runs)} runs {words}"
    original = table[table["seed"].isna() & (table["kind"] == kind) & (table["pooling"] == pooling)]
    if original.empty:
        return words
    had = original["found"].astype(bool).any()
    return f"{words}, {'as in the pretrained encoder' if had else 'not shown to be new'}"


def _places(runs: pd.DataFrame, kind: str) -> str:
    places = []
    for i, j, k, layers in runs[[*DEPTHS, "layers"]].itertuples(index=False):
        two = f"{i:g}-{j:g} and " if kind == "two" else ""
        places.append(f"{two}{k:g}-{layers}")
    different = list(dict.fromkeys(places))
    return f"depths {' or '.join(different)}" + ", by seed" * (len(different) > 1)


def _numbers(values: pd.Series) -> str:
    return " and ".join(f"{value:.2f}" for value in values.dropna())
