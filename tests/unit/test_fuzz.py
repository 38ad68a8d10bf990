"""Whatever is in a config or a task's files: it is read as meant, or gives a StrataError."""

import csv
import io
import json
import math
import tempfile
from copy import deepcopy
from pathlib import Path

import pandas as pd
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import configs
from strata.data.task import read_examples
from strata.runtime.errors import StrataError
from strata.sources.fetch_task import fetch_task
from strata.study.config import check_config

bounded = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

# ---------------------------------------------------------------- the config

EVERYTHING = configs.merged(
    configs.merged(configs.PAPER, configs.DEMO),
    {"models": {"mine": {"source": "path:/no/where"}}},
)
for name in EVERYTHING["tasks"].keys() - {"rte", "hellaswag", "polarity", "valence"}:
    del EVERYTHING["tasks"][name]  # one of each kind is enough, and quicker


def paths(value: object, path: tuple = ()) -> list[tuple]:
    """Of every key and list element, those of containers before those in them."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [own for key in keys for own in ((*path, key), *paths(value[key], (*path, key)))]


PATHS = sorted(paths(EVERYTHING), key=str)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.dates()
    | st.sampled_from(
        [0, -1, 10**400, "", ".", "..", "a/b", "path:", "path:\0", "hub:../..", "a\n"]
    )
    | st.sampled_from(["1e-5", "roberta", "rte", "all", "epoch", "pypi:a==1", "full", "*"])
)
KEYS = st.text(max_size=5) | st.sampled_from(["training", "max_steps", "epochs", "sizes", "mine"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | st.integers() | st.none() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=8,
)
HOW = ["drop", "set", "add", "move"]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(PATHS), st.sampled_from(["drop", "set", "add", "move"]), KEYS, VALUES
    ),
    min_size=1,
    max_size=4,
)


def change(config: dict, path: tuple, how: str, key: object, value: object) -> None:
    part = config
    for step in path[:-1]:
        try:
            part = part[step]
        except (LookupError, TypeError):  # an earlier change took it away
            return
    last = path[-1]
    if not isinstance(part, dict) or last not in part:
        return
    if how == "drop":
        del part[last]
    elif how == "set":
        part[last] = value
    elif how == "add":
        part[key] = value
    else:
        part[key] = part.pop(last)


@bounded
@given(CHANGES)
def test_a_config_is_checked_or_refused(changes):
    config = deepcopy(EVERYTHING)
    for each in changes:
        change(config, *each)
    try:
        checked = check_config(config)
    except StrataError as error:
        assert all(line.endswith(".") for line in str(error).splitlines()[1:])
    else:
        # What passed can be written down and read again, and is complete.
        again = yaml.safe_load(yaml.safe_dump(checked, allow_unicode=True))
        assert again == checked == check_config(checked)


# ---------------------------------------------------------------- a task's files

# Any character, those that files and formats mean something by more often than others.
ANY = st.text(
    st.sampled_from("\"'\\,\t\r\n\0 \ufeff\u2028\x85{}<é😀") | st.characters(codec="utf-8"),
    max_size=12,
)
LABELS = ["no", "yes", "0 or 1"]


def as_csv(rows: list[dict]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_tsv(rows: list[dict]) -> bytes:
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    return "\n".join(lines).encode()


def as_jsonl(rows: list[dict]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=len(rows) % 2 > 0) for row in rows).encode()


def as_json(rows: list[dict]) -> bytes:
    return json.dumps(rows).encode()


def as_parquet(rows: list[dict]) -> bytes:
    out = io.BytesIO()
    pd.DataFrame(rows).to_parquet(out)
    return out.getvalue()


WRITERS = {"csv": as_csv, "tsv": as_tsv, "jsonl": as_jsonl, "json": as_json, "parquet": as_parquet}
DESCRIPTION = {
    "type": "classification",
    "texts": ["first", "{second}"],
    "label": "label",
    "labels": LABELS,
    "metric": "accuracy",
}


def fetch(folder: Path, files: dict[str, bytes], description: dict) -> dict[str, pd.DataFrame]:
    """The examples of a task whose splits are these files; nothing else is left in its folder."""
    target = folder / "tasks" / "mine"
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        task = fetch_task("mine", {"source": f"path:{folder}"} | description, target)
    except StrataError as error:
        assert str(error).startswith("Task 'mine'") and str(error).endswith(".")
        assert not target.exists() and not list(target.parent.glob(".*"))
        raise
    assert sorted(f.name for f in target.iterdir()) == [
        "eval.parquet",
        "task.json",
        "train.parquet",
    ]
    examples = {split: read_examples(target / f"{split}.parquet") for split in ("train", "eval")}
    assert task.sizes == {split: len(own) for split, own in examples.items()}
    return examples


@bounded
@given(
    st.sampled_from(sorted(WRITERS)),
    st.lists(st.tuples(ANY, ANY, st.sampled_from([0, 1, 2])), min_size=1, max_size=5),
    st.booleans(),
)
def test_rows_are_read_as_they_were_written(form, rows, by_name):
    """Every text to the character and every label, in order, from every format."""
    if form == "tsv":  # it cannot represent these
        taken = str.maketrans("", "", "\t\r\n")
        rows = [(a.translate(taken), b.translate(taken), label) for a, b, label in rows]
    written = [
        {"first": a, "second": b, "label": LABELS[label] if by_name else label}
        for a, b, label in rows
    ]
    content, names = WRITERS[form](written), {"train": f"a.{form}", "eval": f"b.{form}"}
    with tempfile.TemporaryDirectory() as folder:
        found = fetch(
            Path(folder), dict.fromkeys(names.values(), content), DESCRIPTION | {"splits": names}
        )
    for examples in found.values():
        columns = (examples[name].tolist() for name in ("text_a", "text_b", "label"))
        assert list(zip(*columns, strict=True)) == rows
        assert examples["example_id"].tolist() == list(range(len(rows)))


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, 10**30, "inf", "\ud800", "x" * 999])
    | ANY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=2),
    max_leaves=4,
)
COLUMNS = st.sampled_from(["first", "second", "label", "endings", "é", ""])

NO_LABELS = st.sampled_from([10**400, 10**30, -1, None])


def mostly(usual: st.SearchStrategy, odd: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 19).flatmap(lambda i: odd if i in (13, 17) else usual)


RECORD = st.fixed_dictionaries(
    {
        "first": ANY,
        "second": ANY,
        "label": st.sampled_from([0, 1, "0", "1.0", "1"]),
        "endings": st.lists(ANY, min_size=2, max_size=2),
    }
)
NAMED = mostly(
    st.sampled_from(["first", "second", "{first} {second}"]),
    st.sampled_from(["label", "endings", "{endings}", "{}", "é"]),
)
KINDS = st.one_of(
    st.fixed_dictionaries({"type": st.just("classification"), "labels": st.just(LABELS)}),
    st.fixed_dictionaries(
        {
            "type": st.just("classification"),
            "cuts": st.just([{"name": "a", "below": 0}, {"name": "b", "above": 0}]),
        }
    ),
    st.fixed_dictionaries({"type": st.just("regression")}),
    st.fixed_dictionaries(
        {
            "type": st.just("multiple-choice"),
            "choices": mostly(
                st.sampled_from(["endings", "{first} {endings}"]) | st.lists(NAMED, min_size=2),
                NAMED,
            ),
        }
    ),
)


@st.composite
def descriptions(draw) -> dict:
    description = draw(KINDS) | {"metric": "accuracy"}
    description["label"] = draw(mostly(st.just("label"), COLUMNS))
    description["texts"] = draw(st.lists(NAMED, min_size=1, max_size=2))
    description["format"] = draw(st.sampled_from(sorted(WRITERS)))
    description["splits"] = {"train": "a"}
    if draw(st.booleans()):
        description["splits"]["eval"] = "b"
    else:
        description["holdout"] = {"fraction": 0.5, "seed": 0}
    encodings = st.sampled_from(["utf-8", "utf-16", "latin-1", "idna", "hex", "nope", "", "\0"])
    description["encoding"] = draw(mostly(st.just("utf-8"), encodings))
    if columns := draw(mostly(st.none(), st.lists(COLUMNS, max_size=4))):
        description["columns"] = columns
    return description


@st.composite
def contents(draw, form: str) -> bytes:
    """A file of odd rows, whole or torn, or something else."""
    records = draw(st.lists(RECORD, min_size=1, max_size=5))
    spoilt = draw(st.sampled_from([None, "label", "label", "first", "endings", "row", "more"]))
    if spoilt == "row":
        records.append(draw(CELLS))
    elif spoilt == "more":
        records.append(draw(st.dictionaries(COLUMNS, CELLS)))
    elif spoilt:
        records[-1][spoilt] = draw(NO_LABELS if spoilt == "label" else CELLS)
    try:
        data = WRITERS[form](records)
    except Exception:  # noqa: BLE001 (what a file of this format cannot hold)
        data = draw(st.binary(max_size=80) | ANY.map(str.encode))
    return data[: draw(mostly(st.none(), st.integers(-20, 0)))]


def texts_and_labels_are_sound(examples: pd.DataFrame) -> bool:
    texts = [examples[name] for name in ("text_a", "text_b") if name in examples]
    strings = all(isinstance(text, str) for column in texts for text in column)
    return strings and all(math.isfinite(label) for label in examples["label"])


@settings(bounded, max_examples=200)
@given(st.data(), descriptions())
def test_any_file_and_description_is_a_task_or_refused(data, description):
    train, dev = (data.draw(contents(description["format"])) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = fetch(Path(folder), {"a": train, "b": dev}, description)
        except StrataError:
            return
    assert all(map(texts_and_labels_are_sound, found.values()))
