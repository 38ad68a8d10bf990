"""Input that is wrong, hostile or merely odd: it works, or one sentence says what to fix.

The tables give each input a name and its outcome: WORKS, which is as far as scores, or the words
that the sentence holds.
"""

import builtins
import io
import json
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM

from helpers import configs, tiny
from helpers.archives import packed, tarred, zipped
from helpers.folders import names, with_config
from strata.data.batches import Rows
from strata.data.task import read_examples
from strata.data.tokens import TokenisedRows, load_tokenizer, write_tokens
from strata.evaluation.metrics import score
from strata.modeling.inference import predict
from strata.modeling.loading import load_model
from strata.runtime.errors import StrataError
from strata.sources.fetch_model import fetch_model
from strata.sources.fetch_task import fetch_task
from strata.sources.prepare import check_enough
from strata.sources.validate import check_folder
from strata.study.config import check_config
from strata.study.settings import ForwardSettings

WORKS = ()


def outcome(words: tuple[str, ...], attempt, leaves_empty: Path | None = None) -> None:
    """`attempt` works, or is refused in one sentence with `words` that leaves nothing behind."""
    if words == WORKS:
        attempt()
        return
    with pytest.raises(StrataError) as caught:
        attempt()
    sentence = str(caught.value)
    assert [word for word in words if word not in sentence] == [], sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 500
    assert leaves_empty is None or not leaves_empty.exists() or not list(leaves_empty.iterdir())


# ---------------------------------------------------------------- rows

SINGLE = {
    "type": "classification",
    "texts": ["text"],
    "label": "label",
    "labels": ["no", "yes"],
    "metric": "accuracy",
}
THREE = {"labels": ["no", "yes", "maybe"]}
SCORED = {"type": "regression", "labels": None, "metric": "pearson"}
CHOICE = {"type": "multiple-choice", "labels": None, "choices": "endings"}


def to_scores(folder: Path, model: Path, entry: dict) -> pd.DataFrame:
    """Fetch a task, take its eval split as far as a score, and return its examples."""
    description = {k: v for k, v in (SINGLE | entry).items() if v is not None}
    target = folder / "tasks" / "mine"
    task = fetch_task("mine", {"source": f"path:{folder}"} | description, target)
    splits = {split: read_examples(target / f"{split}.parquet") for split in ("train", "eval")}
    check_enough("mine", {split: examples["label"] for split, examples in splits.items()})
    tokenizer = load_tokenizer(model)
    for examples in splits.values():
        write_tokens(folder / "tokens.arrow", Rows(tokenizer, examples, max_length=32))
        rows = TokenisedRows(tokenizer, examples, folder / "tokens.arrow")
        predictions = predict(load_model(model, task, seed=1), rows, task, ForwardSettings(3))
        assert len(predictions) == len(examples) and np.isfinite(predictions).all()
        value = score(task.metric, examples["label"].to_numpy(), predictions).value
        assert np.isfinite(value)
    return splits["eval"]


def write_rows(folder: Path, **splits: list[dict]) -> dict:
    """JSONL files of the splits; the entry that names them."""
    for split, rows in splits.items():
        lines = "\n".join(map(json.dumps, rows))
        (folder / f"{split}.jsonl").write_text(lines, encoding="ascii")
    return {"splits": {split: f"{split}.jsonl" for split in splits}}


def labelled(*texts: object) -> list[dict]:
    """Four rows or more with these texts among them, of both classes in turn."""
    padded = [*texts, "w1 good", "w2 bad", "w3 w4"]
    return [{"text": text, "label": i % 2} for i, text in enumerate(padded)]


HALF = ("train.jsonl, row 2, column 'text'", "half a character", "remove it")
TEXTS = [
    ("empty", "", WORKS),
    ("blank", " \t\n ", WORKS),
    ("a NUL", "w1\0w2", WORKS),
    ("NUL alone", "\0", WORKS),
    ("control characters", "w1\x07\x1b[31m\x7f", WORKS),
    ("a pair of surrogates", "good \U0001f600", WORKS),
    ("a high surrogate alone", "good \ud83d", (*HALF, r"'\ud83d'")),
    ("a low surrogate alone", "\ude00 good", (*HALF, r"'\ude00'")),
    ("surrogates the wrong way round", "\ude00\ud83d", HALF),
    ("right to left", "\u202eمرحبا w1 \u05e9\u05dc\u05d5\u05dd", WORKS),
    ("emoji of several characters", "\U0001f469\u200d\U0001f4bb \U0001f1e9\U0001f1ea", WORKS),
    ("combining marks", "e" + "\u0301" * 1000, WORKS),
    ("a byte order mark", "\ufeffw1", WORKS),
    ("not a character", "\uffff\U0010ffff", WORKS),
    ("other line breaks", "w1\u2028w2\x85w3\x0bw4\r", WORKS),
    ("the tokenizer's own marks", "<pad> </s> <s> <mask> <unk>", WORKS),
    ("a template's braces", "{text} {} {0}", WORKS),
    ("100,000 tokens", "w1 " * 100_000, WORKS),
    ("a word of a million letters", "x" * 1_000_000, WORKS),
    ("a number", 12, ("train.jsonl, row 2, column 'text'", "12 (int), not a string")),
    ("nothing", None, ("train.jsonl, row 2, column 'text'", "None (NoneType), not a string")),
    ("an object", {"a": 1}, ("train.jsonl, row 2, column 'text'", "(dict), not a string")),
    ("a long list", ["w"] * 9999, ("row 2, column 'text'", "(49,995 characters) (list)")),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in TEXTS], ids=[t[0] for t in TEXTS])
def test_text(tmp_path, saved, text, words):
    """What works is kept to the character."""
    rows = labelled("w0", text)
    entry = write_rows(tmp_path, train=rows, eval=rows)

    def attempt():
        assert to_scores(tmp_path, saved, entry)["text_a"].tolist() == [r["text"] for r in rows]

    outcome(words, attempt, tmp_path / "tasks")


def of(*labels: object, **more: list) -> list[dict]:
    """One row per label."""
    rows = [{"text": f"w{i}", "label": label} for i, label in enumerate(labels)]
    return [row | {key: values[i] for key, values in more.items()} for i, row in enumerate(rows)]


def endings(*labels: object) -> list[dict]:
    return of(*labels, endings=[["good w1", "bad"]] * len(labels))


GOOD = of(0, 1, 0, 1)
LABEL = "train.jsonl, row 2, column 'label'"
BOTH = "'splits', 'label', 'cuts' or 'holdout'"
SPLITS = [
    ("index beyond the classes", {}, of(0, 2), GOOD, (LABEL, "unknown label 2", "no, yes")),
    ("negative index", {}, of(0, -3), GOOD, (LABEL, "unknown label -3", "no, yes")),
    ("no label", {}, of(0, None), GOOD, (LABEL, "missing", "choose a split that has labels")),
    ("-1 for no label", {}, of(0, -1), GOOD, (LABEL, "missing (-1)")),
    ("half a class", {}, of(0, 0.5), GOOD, (LABEL, "unknown label 0.5", "no, yes")),
    ("a class of a list", {}, of(0, [1]), GOOD, (LABEL, "unknown label [1]", "no, yes")),
    ("a class in capitals", {}, of("no", "YES"), GOOD, (LABEL, "unknown label 'YES'", "no, yes")),
    ("a very long label", {}, of(0, "x" * 10**6), GOOD, (LABEL, "(1,000,002 characters)")),
    ("names, indices and floats mixed", {}, of("no", 1, "0", 1.0, " yes "), GOOD, WORKS),
    ("train of one class", {}, of(1, 1, 1), GOOD, ("3 train examples, and all have", BOTH)),
    ("eval of one class", {}, GOOD, of(1, 1, 1, 1), ("4 eval examples, and all have", BOTH)),
    ("an example a class", {}, of(0, 1), GOOD, WORKS),
    ("train lacks a class", THREE, of(0, 1), of(0, 1, 2, 0), WORKS),
    ("eval lacks a class", THREE, of(0, 1, 2), of(0, 1, 0, 1), WORKS),
    ("a score in words", SCORED, of(1, "high"), GOOD, (LABEL, "'high' is not a number")),
    ("a score that is NaN", SCORED, of(1, float("nan")), GOOD, (LABEL, "missing (nan)")),
    ("an infinite score", SCORED, of(1, "-inf"), GOOD, (LABEL, "missing ('-inf')")),
    ("a score of 401 digits", SCORED, of(1, 10**400), GOOD, (LABEL, "characters) is not a num")),
    ("a score of true", SCORED, of(True, 0.5), of(1, 2, 3, 4), WORKS),
    ("equal scores", SCORED, of(2, 2.0, "2"), GOOD, ("3 train examples, and all have", BOTH)),
    ("gold beyond", CHOICE, endings(0, 2), endings(0, 1, 0, 1), ("(train), row 2", "2 choices")),
    ("gold of 31 digits", CHOICE, endings(0, 10**30), endings(0, 1), (LABEL, "numbers from 0")),
    ("gold of text", CHOICE, endings(0, "b"), endings(0, 1), (LABEL, "'b'", "numbers from 0")),
    ("choices", CHOICE, endings(0, 1), endings(0, 1, 1, 1), WORKS),
    ("no train rows", {}, [], GOOD, ("train.jsonl, its train split, is empty",)),
    ("no eval rows", {}, GOOD, [], ("eval.jsonl, its eval split, is empty",)),
    ("one train row", {}, of(1), GOOD, ("1 train examples, and needs 2", BOTH)),
    ("one eval row", {}, GOOD, of(1), ("1 eval examples, and needs 4", BOTH)),
    ("three eval rows", {}, GOOD, of(1, 0, 1), ("3 eval examples, and needs 4", BOTH)),
    ("duplicated ids", {}, of(0, 1, 0, id=[7, 7, 7]), of(0, 1, 0, 1, id=[7, 7, 8, 8]), WORKS),
    ("a column called example_id", {}, GOOD, of(0, 1, 0, 1, example_id=[3, 3, 0, None]), WORKS),
    ("duplicated rows", {}, [*GOOD, *GOOD], [*GOOD, *GOOD], WORKS),
    ("mixed types beside", {}, of(0, 1, note=[1, "a"]), of(0, 1, 0, 1, note=[None, {}, 2, []]),
     WORKS),
    ("a text is missing", {}, [{"text": "w1", "label": 0}, {"label": 1}], GOOD,
     ("train.jsonl, row 2, column 'text'", "not a string")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "train", "dev", "words"), [row[1:] for row in SPLITS], ids=[s[0] for s in SPLITS]
)
def test_splits(tmp_path, saved, entry, train, dev, words):
    files = write_rows(tmp_path, train=train, eval=dev)
    enough = any("examples, and" in word for word in words)  # known once the task is there
    target = None if enough else tmp_path / "tasks"
    outcome(words, lambda: to_scores(tmp_path, saved, entry | files), target)


def test_examples_are_numbered_by_row_whatever_ids_the_source_has(tmp_path, saved):
    rows = of(0, 1, 0, 1, example_id=[9, 9, 9, 9])
    found = to_scores(tmp_path, saved, write_rows(tmp_path, train=rows, eval=rows))
    assert found["example_id"].tolist() == [0, 1, 2, 3]


def test_holdout_of_too_few_is_refused(tmp_path, saved):
    files = write_rows(tmp_path, train=of(*[0, 1] * 10))
    entry = files | {"holdout": {"fraction": 0.05, "seed": 2}}
    outcome(("eval examples, and needs 4", "'holdout'"), lambda: to_scores(tmp_path, saved, entry))


# ---------------------------------------------------------------- files

QUOTED = 'text,label\n"a ""b""\tc\r\nd, e",0\n"\n",1\n\'x\',0\n"",1\n'
LONE = 'text\tlabel\nsay "w1\t0\nit\'s 5" wide\t1\n"\t0\n""\t1\n'
KEPT = {
    "quotes, tabs and line breaks": ['a "b"\tc\r\nd, e', "\n", "'x'", ""],
    "a lone quote between tabs": ['say "w1', "it's 5\" wide", '"', '""'],
    "a byte order mark before the header": ["w1", "w2", "w3", "w4"],
    "a byte order mark before JSON": ["w1", "w2", "w3", "w4"],
}


def buffer(rows: dict[str, list]) -> bytes:
    out = io.BytesIO()
    pd.DataFrame(rows).to_parquet(out)
    return out.getvalue()


LINES = "text,label\nw1,0\nw2,1\nw3,0\nw4,1\n"
JSON_LINES = "\n".join(json.dumps({"text": f"w{i}", "label": i % 2}) for i in range(1, 5))
CELLS = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
ENCODING = ("save the file as UTF-8", "'encoding'")
FORM = ("'format', 'columns' or 'encoding'",)
FILES = [
    ("quotes, tabs and line breaks", "a.csv", QUOTED, {}, WORKS),
    ("a lone quote between tabs", "a.tsv", LONE, {}, WORKS),
    ("a lone quote between commas", "a.csv", 'text,label\n"a,0\nb,1\n', {}, ("a.csv", *FORM)),
    ("Latin-1", "a.csv", b"text,label\nw1,0\ncaf\xe9,1\n", {},
     ("a.csv, line 3, is not utf-8 text (byte 0xe9)", *ENCODING)),
    ("Latin-1 in JSON", "a.jsonl", b'{"text": "caf\xe9"}', {}, ("a.jsonl, line 1", *ENCODING)),
    ("half a character at the end", "a.csv", LINES.encode() + b"w5\xe2\x82", {},
     ("a.csv, line 6, is not utf-8", *ENCODING)),
    ("UTF-16", "a.csv", LINES.encode("utf-16"), {}, ("a.csv, line 1", *ENCODING)),
    ("UTF-16, and said so", "a.csv", LINES.encode("utf-16"), {"encoding": "utf-16"}, WORKS),
    ("a byte order mark before the header", "a.csv", b"\xef\xbb\xbf" + LINES.encode(), {}, WORKS),
    ("a byte order mark before JSON", "a.jsonl", b"\xef\xbb\xbf" + JSON_LINES.encode(), {}, WORKS),
    ("bytes of an image", "a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {}, ("a.csv", *ENCODING)),
    ("NULs", "a.csv", "\0" * 99, {}, ("a.csv, its train split, is empty",)),
    ("one JSON object", "a.json", '{"text": ["a"], "label": [0]}', {},
     ("a.json", "one dict, not a list of rows", *FORM)),
    ("a row of JSON that is a number", "a.jsonl", '{"text": "a", "label": 0}\n5', {},
     ("a.jsonl", "row 2 is a int, not an object", *FORM)),
    ("JSON nested without end", "a.json", "[" * 200_000, {}, ("a.json", "recursion", *FORM)),
    ("a line nested without end", "a.jsonl", "[" * 200_000, {}, ("a.jsonl", "line 1", *FORM)),
    ("a number of 5,000 digits", "a.jsonl", "9" * 5000, {}, ("a.jsonl", "line 1", "digits", *FORM)),
    ("Parquet cut short", "a.parquet", buffer(CELLS)[:-20], {}, ("a.parquet", *FORM)),
    ("Parquet torn inside", "a.parquet", b"PAR1" + b"\xff" * 99 + b"PAR1", {},
     ("a.parquet", *FORM)),
    ("texts of bytes", "a.parquet", buffer(CELLS | {"text": [b"a", b"b", b"c", b"d"]}), {},
     ("a.parquet, row 1, column 'text'", "(bytes), not a string")),
    ("texts of categories", "a.parquet", buffer(CELLS | {"text": pd.Categorical(list("abca"))}), {},
     WORKS),
    ("two columns of one name", "a.csv", LINES, {"columns": ["text", "text"]}, ("a.csv", *FORM)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "name", "content", "entry", "words"), FILES, ids=[f[0] for f in FILES]
)
def test_file(tmp_path, saved, case, name, content, entry, words):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    splits = {"splits": {"train": name, "eval": name}}

    def attempt():
        found = to_scores(tmp_path, saved, entry | splits)["text_a"].tolist()
        assert found == KEPT.get(case, found)

    outcome(words, attempt, tmp_path / "tasks")


# ---------------------------------------------------------------- archives


def squeezed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def header_alone(kind: bytes, size: int) -> bytes:
    """A tar archive that is one header, which promises `size` bytes."""
    entry = tarfile.TarInfo("data/train.csv")
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def zip_link(target: str) -> bytes:
    entry = zipfile.ZipInfo("data/train.csv")
    entry.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, target)
    return out.getvalue()


CSV = LINES.encode()
SPLIT = {"data/train.csv": CSV, "data/eval.csv": CSV}
ZEROS = bytes(2**27 + 1)
LOCKED = zipped(SPLIT).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
BOMB = ("is refused: it unpacks to", "'source: path:...'")
ARCHIVES = [
    ("a wheel", "p.whl", zipped(SPLIT), WORKS),
    ("paths that climb", "p.whl", zipped({f"../{n}": b"evil" for n in SPLIT} | SPLIT), WORKS),
    ("paths that only climb", "p.whl", zipped({f"../../{n}": CSV for n in SPLIT}),
     ("p.whl has no file 'data/train.csv'", "correct 'inside' or 'splits'")),
    ("a link in a zip", "p.whl", zip_link("/etc/passwd"), ("has no file 'data/train.csv'",)),
    ("a hard link in a tar", "p.tar", header_alone(tarfile.LNKTYPE, 0), ("has no file 'data/tra",)),
    ("a device", "p.tar", header_alone(tarfile.CHRTYPE, 0), ("has no file 'data/train.csv'",)),
    ("a bomb", "p.whl", squeezed({"data/train.csv": ZEROS}), ("p.whl", *BOMB)),
    ("a bomb beside", "p.whl", squeezed(SPLIT | {"zeros": ZEROS}), ("p.whl", *BOMB)),
    ("a tar that promises a terabyte", "p.tar", header_alone(tarfile.REGTYPE, 2**40),
     ("p.tar", "1,099,511,", *BOMB)),
    ("a bomb in an archive", "p.tar.gz", tarred({"data": squeezed({"train.csv": ZEROS})}),
     ("data is refused", *BOMB)),
    ("a name of a gigabyte", "p.tar", header_alone(b"L", 2**30),
     ("p.tar is neither a zip (wheel) nor a tar",)),
    ("a tar cut short", "p.tar.gz", tarred(SPLIT)[:-30],
     ("p.tar.gz is damaged", "download it again")),
    ("a zip cut short", "p.whl", zipped(SPLIT)[:-30], ("p.whl is neither a zip",)),
    ("a zip with a password", "p.whl", LOCKED, ("p.whl is damaged", "password")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "words"), [a[1:] for a in ARCHIVES], ids=[a[0] for a in ARCHIVES]
)
def test_archive(tmp_path, saved, packages, name, data, words):
    packages["pkg==1"] = name, data
    entry = packed("pkg==1", "data") | {"splits": {"train": "train.csv", "eval": "eval.csv"}}
    outcome(words, lambda: to_scores(tmp_path, saved, entry), tmp_path / "tasks")


def test_a_zip_that_says_less_than_it_holds_is_not_read_into_memory(tmp_path, packages):
    """64 MiB of zeros that call themselves 100 bytes."""
    data = squeezed({"data/train.csv": bytes(2**26)})
    packages["pkg==1"] = "p.whl", data.replace(struct.pack("<I", 2**26), struct.pack("<I", 100))
    entry = SINGLE | packed("pkg==1", "data") | {"splits": {"train": "train.csv"}}
    tracemalloc.start()
    try:
        outcome(("p.whl is damaged",), lambda: fetch_task("mine", entry, tmp_path / "t" / "mine"))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- model folders


def with_weights(change):
    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def with_json(name: str, **changes):
    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps(content))

    return spoil


def with_text(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def with_more_words(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["one", "more"])
    tokenizer.save(str(folder / "tokenizer.json"))


def with_head(outputs: int):
    def spoil(folder: Path) -> None:
        settings = tiny.config("bert", 2)
        settings.num_labels = outputs
        torch.manual_seed(0)
        tiny.AutoModelForSequenceClassification.from_config(settings).save_pretrained(folder)

    return spoil


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def old_names(weights: dict) -> None:
    """As the first BERT checkpoints name them."""
    for name in list(weights):
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        weights[old.replace("LayerNorm.bias", "LayerNorm.beta")] = weights.pop(name)


def with_numbers(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({1: torch.zeros(2), 2: torch.ones(2)}, folder / "pytorch_model.bin")


def not_finite(weights: dict) -> None:
    weights["encoder.layer.1.output.dense.bias"][3] = torch.nan


def with_adapters(weights: dict) -> None:
    weights["encoder.layer.0.adapter.weight"] = torch.zeros(2, 2)


def without_pooler(weights: dict) -> None:
    for name in [name for name in weights if name.startswith("pooler.")]:
        del weights[name]


def without_embeddings(weights: dict) -> None:
    del weights["embeddings.word_embeddings.weight"]


LIE = ("does not fit its config.json", "get both from the same place")
TOKENIZER = ("get the tokenizer files of this model",)
AGAIN = ("download the model's files again",)
MODELS = [
    ("as it should be", lambda folder: None, WORKS),
    ("no tokenizer", without_tokenizer, ("no tokenizer files", "add them")),
    ("a tokenizer of more words", with_more_words, ("tokens up to 50", "up to 48", *TOKENIZER)),
    ("an empty tokenizer", with_text("tokenizer.json", "{}"), ("cannot be loaded", *TOKENIZER)),
    ("a tokenizer of noise", with_text("tokenizer.json", "\0"), ("cannot be loaded", *TOKENIZER)),
    ("a tokenizer that cannot pad", with_json("tokenizer_config.json", pad_token=None),
     ("no padding token", *TOKENIZER)),
    ("a tokenizer with other outputs",
     with_json("tokenizer_config.json", model_input_names=["input_ids", "pixel_values"]), WORKS),
    ("a head of more labels", with_head(5), WORKS),
    ("a head of fewer labels", with_head(1), WORKS),
    ("no pooler", with_weights(without_pooler), WORKS),
    ("names of old", with_weights(old_names), WORKS),
    ("more layers than its weights", with_config(num_hidden_layers=3),
     ("lack encoder.layer.2.", "(3 layers", *LIE)),
    ("fewer layers than its weights", with_config(num_hidden_layers=1),
     ("also hold encoder.layer.1.", "(1 layers", *LIE)),
    ("a million layers", with_config(num_hidden_layers=10**6),
     ("config.json sets num_hidden_layers to 1000000", "up to 1000")),
    ("layers in words", with_config(num_hidden_layers="2"), ("num_hidden_layers to '2'", "number")),
    ("no layers", with_config(num_hidden_layers=0), ("says 0 layers", "enter the number")),
    ("another width", with_config(hidden_size=32), ("have a different shape of", "size 32", *LIE)),
    ("another vocabulary", with_config(vocab_size=60), ("word_embeddings.weight", *LIE)),
    ("another architecture", with_config(model_type="distilbert"), ("its weights lack", *LIE)),
    ("heads that do not divide", with_config(num_attention_heads=3), ("multiple of", *AGAIN)),
    ("an activation of its own", with_config(hidden_act="evil"), ("KeyError: 'evil'", *AGAIN)),
    ("a kernel from elsewhere", with_config(_attn_implementation="someone/kernel"),
     ("asks for code from elsewhere", "'someone/kernel'", "remove that key")),
    ("a type that is a list", with_config(model_type=["bert"]), ("type '['bert']'", "supported")),
    ("a config that is a list", with_text("config.json", "[]"), ("holds no JSON object", *AGAIN)),
    ("a config in another encoding", lambda f: (f / "config.json").write_bytes(b'{"\xe9": 1}'),
     ("config.json is not JSON", *AGAIN)),
    ("a layer that lacks a weight", with_weights(without_embeddings),
     ("lack embeddings.word_embeddings.weight", *LIE)),
    ("a layer with adapters", with_weights(with_adapters),
     ("also hold encoder.layer.0.adapter.weight", *LIE)),
    ("weights that are not numbers", with_weights(not_finite),
     ("are not finite", "download them again")),
    ("pickled weights with numbers for names", with_numbers, ("its weights lack", *LIE)),
    ("weights cut short",
     lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
     ("cannot be loaded (SafetensorError", *AGAIN)),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), [m[1:] for m in MODELS], ids=[m[0] for m in MODELS])
def test_model_folder(tmp_path, model, spoil, words):
    """What works has as many outputs as the task has labels, whatever head was there."""
    spoil(model)
    target = tmp_path / "models" / "mine"

    def attempt():
        fetch_model("mine", {"source": f"path:{model}"}, target)
        task, forward = tiny.task(), ForwardSettings(5)
        predictions = predict(load_model(target, task, seed=1), tiny.rows(), task, forward)
        assert set(predictions) <= {0, 1} and len(predictions) == 12

    outcome(words, attempt, target.parent)


def masked(architecture: str, folder: Path) -> None:
    AutoModelForMaskedLM.from_config(tiny.config(architecture)).save_pretrained(folder)


def with_task_head(architecture: str, folder: Path) -> None:
    tiny.task_model(architecture).save_pretrained(folder)


@pytest.mark.parametrize("save", [masked, with_task_head])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_layers_are_held_against_the_weights_of_every_architecture(architecture, save, tmp_path):
    """Under whatever head and prefix; ALBERT's one layer stands for any number."""
    tiny.tokenizer().save_pretrained(tmp_path)
    save(architecture, tmp_path)
    check_folder(tmp_path, "mine")
    key = "n_layers" if architecture == "distilbert" else "num_hidden_layers"
    width = "dim" if architecture == "distilbert" else "hidden_size"
    for changes, fault in (({key: 5}, "lack"), ({key: 3}, "also hold"), ({width: 8}, "shape")):
        config = (tmp_path / "config.json").read_text()
        with_config(**changes)(tmp_path)
        shared = architecture == "albert" and fault != "shape"
        words = ("Model 'mine': its weights", fault, *LIE)
        outcome(WORKS if shared else words, lambda: check_folder(tmp_path, "mine"))
        (tmp_path / "config.json").write_text(config)


def test_code_beside_a_model_is_never_run(model, tmp_path, monkeypatch):
    """Nor does it ask for permission: in a job nobody can answer."""
    mark = tmp_path / "executed"
    (model / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Evil: ...\n")
    classes = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    with_config(auto_map=dict.fromkeys(classes, "evil.Evil"))(model)
    code = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    with_json("tokenizer_config.json", auto_map=code, tokenizer_class="Evil")(model)
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked"))

    check_folder(model, "mine")
    load_model(model, tiny.task(), seed=1)
    load_tokenizer(model)
    fetch_model("mine", {"source": f"path:{model}"}, tmp_path / "models" / "mine")
    assert not mark.exists()
    assert "evil.py" not in names(tmp_path / "models" / "mine")


# ---------------------------------------------------------------- configs

TASK_ENTRY = yaml.safe_dump(configs.RTE, default_flow_style=True, width=10**6).strip()
NAME = "is not a name: use lower-case letters, digits and '-'"
FINITE = "allowed is a finite number"
CONFIGS = [
    ("training: {learning_rate: .nan}", ("training.learning_rate: nan is not", FINITE)),
    ("training: {weight_decay: .inf}", ("training.weight_decay: inf is not", FINITE)),
    ("training: {warmup_steps: -.inf}", ("training.warmup_steps: -inf is not", FINITE)),
    ("summary: {confidence: .NaN}", ("summary.confidence: nan is not", FINITE)),
    ("heads: {converged: null}", WORKS),
    ("heads: {converged: false}", ("heads.converged: False", "allowed is object or null")),
    ("heads: {converged: {learning_rates: [.nan]}}", ("converged.learning_rates.0: nan", FINITE)),
    ("training: {learning_rate: 1e-5}", ("'1e-5' is not allowed", "number")),  # YAML 1.1: text
    ("training: {max_steps: '100'}", ("training.max_steps: '100'", "allowed is integer")),
    ("training: {batch_size: -4}", ("training.batch_size: -4", "at least 1")),
    ("training: {max_length: 7}", ("training.max_length: 7", "at least 8")),
    ("training: {group_by_length: 'no'}", ("training.group_by_length: 'no'", "boolean")),
    ("study: {seeds: [4294967296]}", ("study.seeds.0: 4294967296", "at most 4294967295")),
    ("study: {seeds: [4294967295, 0]}", WORKS),
    ("study: {skipping: [../roberta]}", ("'../roberta' is not among", "roberta, albert")),
    ("models: {a/b: {source: 'hub:a/b'}}", ("models: 'a/b'", NAME)),
    ("models: {..: {source: 'hub:a/b'}}", ("models: '..'", NAME)),
    ("models: {my model: {source: 'hub:a/b'}}", ("models: 'my model'", NAME)),
    ("models: {my_model: {source: 'hub:a/b'}}", ("models: 'my_model'", NAME)),
    ("models: {BERT: {source: 'hub:a/b'}}", ("models: 'BERT'", NAME)),
    ("models: {'': {source: 'hub:a/b'}}", ("models: ''", NAME)),
    ('models: {"a\\n": {source: "hub:a/b"}}', (r"models: 'a\n'", NAME)),
    ("models: {bert-2: {source: 'hub:a/b'}}", WORKS),
    (f"tasks: {{../rte: {TASK_ENTRY}}}", ("tasks: '../rte'", NAME)),
    (f"tasks: {{r_te: {TASK_ENTRY}}}", ("tasks: 'r_te'", NAME)),
    (f"tasks: {{2020: {TASK_ENTRY}}}", ("tasks: the key 2020 is not text", "in quotes")),
    (f"tasks: {{yes: {TASK_ENTRY}}}", ("tasks: the key True is not text", "in quotes")),
    ("outdir: ../other", ("outdir: '../other'", "do not use '..'")),
    ("outdir: results/../..", ("outdir: 'results/../..'", "do not use '..'")),
    ('outdir: "results\\n"', ("outdir: 'results", "allowed is text that matches")),
    ("outdir: results/my-study_2.1", WORKS),
    ('models: {roberta: {title: "\\ud800"}}', ("models.roberta.title", "whole characters")),
    ("tasks: {rte: {labels: ['no', yes]}}", ("tasks.rte.labels.1: True", "put it in quotes")),
    ("tasks: {rte: {label: 2020-01-01}}", ("tasks.rte.label: datetime.date", "in quotes")),
    ("study: {seeds: &a [*a]}", ("study.seeds.0", "nested more than 20 levels deep")),
    ("study: []", ("study: [] is not allowed", "allowed is object")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), CONFIGS, ids=[c[0][:60] for c in CONFIGS])
def test_key_of_the_config(text, words):
    config = configs.merged(configs.PAPER, yaml.safe_load(text))
    if words == WORKS:
        assert check_config(config)
        return
    (problem,) = configs.problems(config)
    assert [word for word in words if word not in problem] == [], problem
    assert problem.endswith(".")


def test_two_classes_of_one_name_are_refused():
    config = configs.merged(configs.PAPER, configs.DEMO)
    for cut in config["tasks"]["polarity"]["cuts"]:
        cut["name"] = "same"
    (problem,) = configs.problems(config)
    assert problem.startswith("tasks.polarity.cuts: two classes have the same name (same, same)")


def test_the_tables_are_as_long_as_they_should_be():
    tables = (TEXTS, SPLITS, FILES, ARCHIVES, MODELS, CONFIGS)
    assert sum(map(len, tables)) >= 150
