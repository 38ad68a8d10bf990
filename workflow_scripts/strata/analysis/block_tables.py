"""The blocks of a study as a table, what holds in every run, and the finding in words."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from strata.analysis.activations import Activations
from strata.analysis.blocks import KINDS, BlockFinding, compared, own_blocks, state_maps
from strata.analysis.cka_tables import gold_rows
from strata.runtime.errors import StrataError
from strata.study.run_records import RunMetrics
from strata.study.states import PRETRAINED, State

DEPTHS = ("early_begin", "early_end", "late_begin")


def state_blocks(
    finetuned: Activations,
    pretrained: Activations,
    resamples: int,
    memory_mb: float,
    choice: str,
) -> pd.DataFrame:
    """Blocks of a fine-tuned and of the pretrained encoder: a row a state, kind and pooling.

    Parameters
    ----------
    finetuned, pretrained : of the same examples.
    choice : "all" rows of multiple-choice examples (position by position), or the "gold" choice's.

    Raises
    ------
    StrataError : the files hold different examples.
    """
    examples = finetuned.examples()
    if not examples.equals(pretrained.examples()):
        raise StrataError(
            f"{finetuned.path} and {pretrained.path} hold different examples; delete both and run "
            "again."
        )
    gold = choice == "gold" and finetuned.choices > 1
    rows = gold_rows(examples["label"], finetuned.choices) if gold else slice(None)
    choices = 1 if gold else finetuned.choices
    parts = []
    for pooling in (p for p in finetuned.poolings if p in pretrained.poolings):
        after, before = (
            # Depth 0 is no layer's.
            state_maps(
                file.vectors(pooling)[file.depths(pooling).index(1) :, rows],
                resamples,
                0,
                memory_mb,
                choices,
            )
            for file in (finetuned, pretrained)
        )
        found = {
            str(finetuned.attributes["state"]): compared(after, before),
            str(PRETRAINED): own_blocks(before),
        }
        counts = {"n": len(examples) * choices, "n_examples": len(examples)}
        counts["layers"] = len(before.value)
        parts += [
            _rows(state, each).assign(pooling=pooling, **counts) for state, each in found.items()
        ]
    return pd.concat(parts, ignore_index=True)


def _rows(state: str, found: BlockFinding) -> pd.DataFrame:
    rows = [{"state": state, "kind": kind, **asdict(getattr(found, kind))} for kind in KINDS]
    return pd.DataFrame(rows)


def blocks_table(
    model: str, task: str, tables: Iterable[pd.DataFrame], runs: Mapping[int, RunMetrics]
) -> pd.DataFrame:
    """The blocks of every run of a model and task, and the pretrained encoder's.

    Parameters
    ----------
    tables : ``state_blocks`` of each run.
    runs : seed -> metrics.json.

    Returns
    -------
    their rows with model, task, seed, failed (the run does not beat its baseline), and of the rows
    of runs that did not fail: seeds_agree_early_end, seeds_agree_late_begin (share of the other
    such runs with the same j, k), made_in_every_run (fine-tuning made it).
    """
    table = pd.concat(tables, ignore_index=True)
    table = table.drop_duplicates(["state", "kind", "pooling"], ignore_index=True)
    seeds = [State.parse(state).seed for state in table["state"]]
    table = table.assign(
        model=model,
        task=task,
        seed=pd.array(seeds, "Int64"),
        failed=[seed is not None and runs[seed].failed for seed in seeds],
        seeds_agree_early_end=float("nan"),
        seeds_agree_late_begin=float("nan"),
        made_in_every_run=False,
    )
    table[list(DEPTHS)] = table[list(DEPTHS)].astype("Int64")
    kept = table[table["seed"].notna() & ~table["failed"]]
    for _, same in kept.groupby(["kind", "pooling"]):
        table.loc[same.index, "made_in_every_run"] = bool(same["made"].all())
        for depth in ("early_end", "late_begin"):
            others = max(len(same) - 1, 1)
            alike = [int((same[depth] == own).sum()) - 1 for own in same[depth]]
            if len(same) > 1 and same[depth].notna().all():
                table.loc[same.index, f"seeds_agree_{depth}"] = [a / others for a in alike]
    first = ["model", "task", "seed", "state", "kind", "pooling"]
    last = ["layers", "n", "n_examples", "failed"]
    return table[[*first, *table.columns.drop([*first, *last]), *last]]


@dataclass(frozen=True)
class MadeBlocks:
    """The depths that are in a block in every run that did not fail; fine-tuning made it.

    Attributes
    ----------
    late_begin : first depth of the late block; None where fine-tuning made none.
    early_begin, early_end, two_late_begin : the same of two blocks.
    """

    late_begin: int | None = None
    early_begin: int | None = None
    early_end: int | None = None
    two_late_begin: int | None = None


def made_blocks(table: pd.DataFrame, pooling: str = "cls") -> MadeBlocks:
    """What fine-tuning made, of a pair's ``blocks_table``."""
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
    return bool(len(runs)) and bool(runs["made"].all())


def block_words(table: pd.DataFrame, pooling: str = "cls") -> str:
    """What was found of blocks in a pair's ``blocks_table``, in words, and nothing more.

    In brackets are the separations, a seed each, and their one-sided 95 % lower bounds over examples.
    """
    late = _runs(table, "late", pooling)
    if late.empty:
        return "every run failed, so there is nothing to say of blocks"
    if late["separation"].isna().all():
        return "CKA is undefined, or there are too few layers for blocks"
    kinds = [_kind_words(table, kind, pooling) for kind in KINDS]
    seeds = f"{len(late)} seed{'s' if len(late) > 1 else ''}"
    return f"{'; '.join(kinds)} ({seeds}, {int(late['n_examples'].iloc[0])} examples)"


def _kind_words(table: pd.DataFrame, kind: str, pooling: str) -> str:
    name = {"late": "late block", "two": "two blocks"}[kind]
    runs = _runs(table, kind, pooling)
    found = runs[runs["found"].astype(bool)]
    if found.empty:
        return f"no {name} found ({_separations(runs)})"
    words = f"{'a ' * (kind == 'late')}{name}, {_places(found, kind)} ({_separations(found)})"
    if _made(runs):
        return f"fine-tuning made {words}"
    if len(found) < len(runs):
        return f"in {len(found)} of {len(runs)} runs {words}"
    original = table[table["seed"].isna() & (table["kind"] == kind) & (table["pooling"] == pooling)]
    had = original["found"].astype(bool).any()
    return f"{words}, {'which the pretrained encoder has, too' if had else 'not shown to be new'}"


def _places(runs: pd.DataFrame, kind: str) -> str:
    places = []
    for i, j, k, layers in runs[[*DEPTHS, "layers"]].itertuples(index=False):
        place = f"{i}-{j} and {k}-{layers}" if kind == "two" else f"{k}-{layers}"
        if place not in places:
            places.append(place)
    return f"depths {' or '.join(places)}" + ", by seed" * (len(places) > 1)


def _separations(runs: pd.DataFrame) -> str:
    values, bounds = (
        " and ".join(f"{number:.2f}" for number in runs[column])
        for column in ("separation", "separation_low")
    )
    return f"separation {values}, lower bound {bounds}"
