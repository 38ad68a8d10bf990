"""The study's tables as the explorer's charts read them, and packed small."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from strata.analysis.frontier import COSTS, FAILED, FULL, NAMES
from strata.figures.controls import OF_ONE, OF_TWO
from strata.figures.truncation import CONFIGURATIONS
from strata.study.layer_sets import AS_IS, HEAD, METHODS, TRAINED, LayerSet
from strata.study.states import PRETRAINED, State
from strata.study.trained_cuts import WAYS

DIGITS = 5  # of a number in the page: more than a table shows
# The four maps of Figure 1, by the states on Y and X.
ORIG_ORIG, FT_ORIG, FT_FT, FT_OTHER = "orig-orig", "ft-orig", "ft-ft", "ft1-ft2"
FINE_TUNED, ENCODER = "fine-tuned", "pretrained"
MADE = {AS_IS: "nothing trained", HEAD: "head tuned on the frozen layers"}
# What the page is made from: tables that charts read, and those that its words come from.
TABLES = (
    "cka", "blocks", "truncation", "calibration", "controls", "variability", "verdicts", "skipping",
    "frontier", "summary", "answers", "findings", "claims",
)  # fmt: skip
OF_LAYER_SETS = ("frontier", "answers")
Tables = Mapping[str, pd.DataFrame]


def read_table(name: str, paths: Sequence[str]) -> pd.DataFrame:
    """One of TABLES, from its files; layer sets such as "3" are text."""
    types = NAMES if name in OF_LAYER_SETS else None
    return pd.concat([pd.read_csv(path, dtype=types) for path in paths], ignore_index=True)


def chart_tables(tables: Tables, pooling: str, outdir: str) -> dict[str, pd.DataFrame]:
    """What charts read of a study's tables, by name; tables that are not there are left out.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By the name of the analysis' table, of all models and tasks (columns model and task first).
    pooling : str
        Which vectors maps, blocks and controls show.
    outdir : str
        The study's folder, for the commands that export a model.

    Returns
    -------
    dict of str to DataFrame
        Each with model and task; a `seed` is empty in rows that are of no run.
    """
    makers: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "cka": lambda table: _maps(_pooled(table, pooling)),
        "blocks": lambda table: _blocks(_pooled(table, pooling)),
        "truncation": _curves,
        "calibration": _known,
        "controls": lambda table: _controls(_pooled(table, pooling)),
        "variability": lambda table: table[table["depth"] > 0],
        "verdicts": lambda table: table,
        "skipping": _spans,
        "frontier": lambda table: _candidates(table, outdir),
    }
    found = {name: make(tables[name]) for name, make in makers.items() if name in tables}
    if "frontier" in found:
        found["speed"] = _top_cuts(tables["frontier"])
    return {name: table.reset_index(drop=True) for name, table in found.items() if len(table)}


def pack(table: pd.DataFrame) -> dict[str, Any]:
    """A table as JSON, column by column, small: what repeats is written once.

    Returns
    -------
    dict
        `n` rows, and of each column one of: `one` (all rows have this value), `levels` and `codes`
        (the values, and which of them each row has), `values`. What is empty is None.
    """
    columns = {str(name): _packed(table[name]) for name in table.columns}
    return {"n": len(table), "columns": columns}


def _packed(column: pd.Series) -> dict[str, Any]:
    # True and 1, which a column of objects may have both, are equal to Python and not to a reader.
    keys = [(type(value), value) for value in column] if column.dtype == object else column
    codes, found = pd.factorize(pd.Series(keys), use_na_sentinel=False)
    levels = [_plain(key[1] if column.dtype == object else key) for key in found]
    if len(levels) == 1:
        return {"one": levels[0]}
    if 3 * len(levels) < len(column):
        return {"levels": levels, "codes": codes.tolist()}
    return {"values": [levels[code] for code in codes]}


def _plain(value: Any) -> Any:
    """What JSON can hold, rounded; None where there is no number."""
    if isinstance(value, str):
        return value
    if pd.isna(value) or value in (np.inf, -np.inf):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return int(value) if float(value).is_integer() else float(f"{value:.{DIGITS}g}")


def _pooled(table: pd.DataFrame, pooling: str) -> pd.DataFrame:
    return table[table["pooling"] == pooling].drop(columns="pooling")


def _seed(state: str) -> int | None:
    return State.parse(state).seed


def _maps(table: pd.DataFrame) -> pd.DataFrame:
    """CKA with the `map` that it is on and that map's `seed`, which say its states."""
    original = str(PRETRAINED)
    states = table[["y_state", "x_state"]].drop_duplicates().itertuples(index=False, name=None)
    kinds = {}
    for y, x in states:
        own = ORIG_ORIG if y == original else FT_FT
        kinds[y, x] = own if y == x else FT_ORIG if x == original else FT_OTHER
    places = list(zip(table["y_state"], table["x_state"], strict=True))
    kind = [kinds[place] for place in places]
    # A map of two runs is of no single one.
    seeds = [None if on == FT_OTHER else _seed(y) for on, (y, _) in zip(kind, places, strict=True)]
    return table.drop(columns=["y_state", "x_state"]).assign(
        map=kind, seed=pd.array(seeds, dtype="Int64")
    )


def _blocks(table: pd.DataFrame) -> pd.DataFrame:
    """Squares around the blocks that were found, `low` to `high`, on a map of one state."""
    rows = []
    # What is found in a run that failed means nothing.
    for _, row in table[table["found"].eq(True) & ~table["failed"].eq(True)].iterrows():
        spans = [(row["late_begin"], row["layers"])]
        if row["kind"] == "two":
            spans.insert(0, (row["early_begin"], row["early_end"]))
        state = row["state"] == str(PRETRAINED)
        common = {name: row[name] for name in ("model", "task", "kind", "separation")}
        common |= {"separation_low": row["separation_low"], "n_examples": row["n_examples"]}
        common |= {"seed": _seed(row["state"]), "map": ORIG_ORIG if state else FT_FT}
        rows += [{**common, "first": int(first), "last": int(last)} for first, last in spans]
    return pd.DataFrame(rows)


def _known(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of configurations that are drawn."""
    return table[table["configuration"].isin(CONFIGURATIONS)]


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    columns = ["recipe", "learning_rate", "grid_end", "withheld", "n_withheld", "n"]
    return _known(table).drop(columns=columns, errors="ignore")


def _controls(table: pd.DataFrame) -> pd.DataFrame:
    """What is drawn: of one depth, of each depth with the one below it, and with the last one."""
    of_one = table[table["measure"].isin(OF_ONE)]
    pairs = table[table["measure"].isin(OF_TWO)]
    last = pairs.groupby(["model", "task"])["other_depth"].transform("max")
    parts = [
        of_one.assign(part="depth", x=of_one["depth"]),
        pairs[pairs["other_depth"] == pairs["depth"] + 1].assign(
            part="below", x=lambda rows: rows["other_depth"]
        ),
        pairs[pairs["other_depth"] == last].assign(part="last", x=lambda rows: rows["depth"]),
    ]
    drawn = pd.concat(parts).rename(columns={"x": "at"})
    seeds = drawn["state"].map(_seed)
    weights = np.where(seeds.isna(), ENCODER, FINE_TUNED)
    return drawn.assign(seed=seeds.astype("Int64"), weights=weights)


def _spans(table: pd.DataFrame) -> pd.DataFrame:
    """Skipped spans with the layers that are `left` and the `share` of the gain that is kept."""
    gain = (table["full"] - table["baseline"]).where(table["full"] > table["baseline"])
    layers = table.groupby(["model", "task"])["last"].transform("max")
    spans = zip(table["first"], table["last"], layers, strict=True)
    left = {span: _left(*span) for span in set(spans)}
    spans = zip(table["first"], table["last"], layers, strict=True)
    share = (table["value"] - table["baseline"]) / gain
    return table.assign(left=[left[span] for span in spans], share=share)


def _left(first: int, last: int, layers: int) -> str:
    kept = LayerSet.top_cut(layers).without(range(first, last + 1))
    return f"layers {kept}" if kept.layers else "no layer"


def _candidates(table: pd.DataFrame, outdir: str) -> pd.DataFrame:
    """The frontier's candidates, each once: the methods that `chose` it, how it is `made`, and the
    `command` that exports it, of the run that is exported.
    """
    good = table[table["verdict"] != FAILED]
    good = good.assign(
        made=[_made(row) for _, row in good.iterrows()],
        command=_commands(table, outdir)[good.index],
    )
    columns = ["examples_needed", "choose_score", "choose_loss", "threads", "latency_p95_ms"]
    keys = ["model", "task", "seed", "done", "name"]
    order = {method: place for place, method in enumerate([*METHODS, FULL])}
    good = good.sort_values("method", key=lambda methods: methods.map(order), kind="stable")
    chose = good.groupby(keys, sort=False)["method"].agg(", ".join).rename("chose")
    return good.drop_duplicates(keys).drop(columns=columns).merge(chose.reset_index(), on=keys)


def _made(row: pd.Series) -> str:
    """How a candidate is made, in words."""
    whole = "" if row["method"] == FULL else "cut; "
    if row["done"] != TRAINED:
        return f"{whole}{MADE[row['done']]}"
    return f"{WAYS[row['way']].words}, {row['steps']:.0f} steps"


def _commands(table: pd.DataFrame, outdir: str) -> pd.Series:
    """What Snakemake is asked for; "" of the whole model, and of runs that are not exported.

    Exported is the first run that did not fail; of what was trained after its cut, the first.
    """
    trained = table["done"] == TRAINED
    could = table["seed"].where(trained | (table["verdict"] != FAILED))
    first = could.groupby([table["model"], table["task"], trained]).transform("first")
    paths = (
        f"{outdir}/export/" + table["model"] + "_" + table["task"] + "/" + table["name"].astype(str)
    )
    exported = (table["method"] != FULL) & (table["seed"] == first)
    return ("snakemake " + paths).where(exported, "")


def _top_cuts(table: pd.DataFrame) -> pd.DataFrame:
    """What the whole model and its cuts from the top cost, as they are."""
    costs = [name for name in COSTS if name in table]
    own = table[table["method"].isin(["top", FULL]) & (table["done"] == AS_IS)]
    return own[["model", "task", "seed", "layers", "size", *costs]]
