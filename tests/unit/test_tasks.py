"""Tasks: the study's twelve and the demo's two on rows as their sources have them, and refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from strata.data.task import Task, read_examples
from strata.evaluation.metrics import baseline_score
from strata.runtime.errors import StrataError
from strata.sources.prepare import hold_out, normalise, prepare
from strata.study.config import check_config
from strata.study.settings import Sample

REPOSITORY = Path(__file__).parents[2]
PAPER = check_config(yaml.safe_load((REPOSITORY / "config.yaml").read_text()))["tasks"]
DEMO = yaml.safe_load((REPOSITORY / "studies" / "demo.yaml").read_text())["tasks"]


def glue(*columns: str, label: type = int) -> list[dict]:
    """Two rows of a GLUE subset: its text columns, label and idx."""
    texts = [("One film .", "It 's good ."), ("Two {films} .", "It is\nbad .")]
    return [
        {**dict(zip(columns, row, strict=False)), "label": label(value), "idx": i}
        for i, (row, value) in enumerate(zip(texts, (0, 1), strict=True))
    ]


# Two rows of each task in the schema of its hub dataset, and the examples they are to become.
PAIRS = [("One film .", "It 's good ."), ("Two {films} .", "It is\nbad .")]
SINGLES = [("One film .",), ("Two {films} .",)]
CHOSEN = {
    "cola": (glue("sentence"), SINGLES, [0, 1]),
    "mnli": (glue("premise", "hypothesis"), PAIRS, [0, 1]),
    "mrpc": (glue("sentence1", "sentence2"), PAIRS, [0, 1]),
    "qnli": (glue("question", "sentence"), PAIRS, [0, 1]),
    "qqp": (glue("question1", "question2"), PAIRS, [0, 1]),
    "rte": (glue("sentence1", "sentence2"), PAIRS, [0, 1]),
    "sst2": (glue("sentence"), SINGLES, [0, 1]),
    "stsb": (
        [
            {"sentence1": "A plane .", "sentence2": "An air plane .", "label": 5.0, "idx": 0},
            {
                "sentence1": "A man .",
                "sentence2": "A flute .",
                "label": 3.799999952316284,
                "idx": 1,
            },
        ],
        [("A plane .", "An air plane ."), ("A man .", "A flute .")],
        [5.0, 3.799999952316284],
    ),
    "boolq": (
        [
            {"question": "is it so", "passage": "It is.", "answer": True},
            {"question": "is it not", "passage": "It is.", "answer": False},
        ],
        [("is it so", "It is."), ("is it not", "It is.")],
        [1, 0],
    ),
    "yelp-polarity": (
        [{"text": "Never again.", "label": 0}, {"text": 'A "gem"!', "label": 1}],
        [("Never again.",), ('A "gem"!',)],
        [0, 1],
    ),
    "hellaswag": (
        [
            {
                "ind": 4,
                "activity_label": "Removing ice from car",
                "ctx_a": "Then, the man writes.",
                "ctx_b": "then",
                "ctx": "Then, the man writes. then",
                "endings": ["he stops.", "he runs.", "he sings.", "he is gone."],
                "source_id": "activitynet~v_-1IBHYS3L-Y",
                "split": "train",
                "split_type": "indomain",
                "label": "3",
            },
            {
                "ind": 9,
                "activity_label": "Baking",
                "ctx_a": "A cake.",
                "ctx_b": "",
                "ctx": "A cake.",
                "endings": ["Eat.", "Bake.", "Ice.", "Sell."],
                "source_id": "wikihow~1",
                "split": "train",
                "split_type": "zeroshot",
                "label": "0",
            },
        ],
        [
            (
                "Then, the man writes.",
                ["then he stops.", "then he runs.", "then he sings.", "then he is gone."],
            ),
            ("A cake.", [" Eat.", " Bake.", " Ice.", " Sell."]),
        ],
        [3, 0],
    ),
    "cosmosqa": (
        [
            {
                "id": "3Q9SPIIRWJKVQ8244310E8TUS6YWAC##34V1S5K3GTZMDUBNBIGY93FLDOB690##A1S1",
                "context": "It rained all day .",
                "question": "Why stay in ?",
                "answer0": "It was wet .",
                "answer1": "It was dry .",
                "answer2": "None of the above choices .",
                "answer3": "It was late .",
                "label": 2,
            },
            {
                "id": "x##y",
                "context": "I slept .",
                "question": "When ?",
                "answer0": "a",
                "answer1": "b",
                "answer2": "c",
                "answer3": "d",
                "label": 0,
            },
        ],
        [
            (
                "It rained all day . Why stay in ?",
                ["It was wet .", "It was dry .", "None of the above choices .", "It was late ."],
            ),
            ("I slept . When ?", ["a", "b", "c", "d"]),
        ],
        [2, 0],
    ),
}
METRICS = dict.fromkeys(PAPER, "accuracy") | {
    "cola": "mcc",
    "mrpc": "accuracy-f1",
    "qqp": "accuracy-f1",
    "stsb": "pearson-spearman",
}
LABELS = {
    "cola": ["unacceptable", "acceptable"],
    "mnli": ["entailment", "neutral", "contradiction"],
    "mrpc": ["not_equivalent", "equivalent"],
    "qnli": ["entailment", "not_entailment"],
    "qqp": ["not_duplicate", "duplicate"],
    "rte": ["entailment", "not_entailment"],
    "sst2": ["negative", "positive"],
    "boolq": ["false", "true"],
    "yelp-polarity": ["negative", "positive"],
}
SPLITS = dict.fromkeys(PAPER, ("train", "validation")) | {
    "mnli": ("train", "validation_matched"),
    "yelp-polarity": ("train", "test"),
}

PAIR = {
    "type": "classification",
    "texts": ["first", "second"],
    "label": "label",
    "labels": ["no", "yes"],
    "splits": {"train": "train", "eval": "dev"},
    "metric": "accuracy",
}
CHOICE = {
    "type": "multiple-choice",
    "texts": ["prompt"],
    "choices": "{endings}",
    "label": "label",
    "splits": {"train": "train", "eval": "dev"},
    "metric": "accuracy",
}
SCORED = {**PAIR, "type": "regression", "metric": "pearson"}
del SCORED["labels"]


def pairs(**columns) -> pd.DataFrame:
    rows = {"first": ["a", "b", "c"], "second": ["x", "y", "z"], "label": [0, 1, 0]}
    return pd.DataFrame(rows | columns)


def choices(endings: list, labels: list) -> pd.DataFrame:
    prompts = [f"p{i}" for i in range(len(labels))]
    return pd.DataFrame({"prompt": prompts, "endings": endings, "label": labels})


def refusal(description: dict, frame: pd.DataFrame) -> str:
    with pytest.raises(StrataError) as caught:
        normalise("mine", description, frame, "eval", "dev.csv")
    return str(caught.value)


def prepared(folder: Path, description: dict, train: pd.DataFrame, dev=None) -> Task:
    rows = {"train": train} | ({} if dev is None else {"eval": dev})
    places = {"train": "train.csv", "eval": "dev.csv"}
    return prepare("mine", description, rows, places, {"source": "path:here"}, folder)


# ---------------------------------------------------------------- the registered tasks


def test_every_registered_task_has_rows_here():
    assert set(CHOSEN) == set(PAPER) and len(PAPER) == 12


@pytest.mark.parametrize("name", PAPER)
def test_registered_task_on_rows_of_its_dataset(name, tmp_path):
    """The dataset's own columns, by way of parquet as on the hub, become the expected examples."""
    rows, texts, labels = CHOSEN[name]
    pd.DataFrame(rows).to_parquet(tmp_path / "hub.parquet")
    frame = pd.read_parquet(tmp_path / "hub.parquet")
    split = {"train": frame, "eval": frame[::-1].reset_index(drop=True)}
    place = {"train": name, "eval": name}
    task = prepare(name, PAPER[name], split, place, {}, tmp_path / name)
    train = read_examples(tmp_path / name / "train.parquet")
    second = "choices" if PAPER[name]["type"] == "multiple-choice" else "text_b"
    columns = ["text_a", second][: len(texts[0])]
    assert train.columns.tolist() == ["example_id", *columns, "label"]
    assert train["example_id"].tolist() == [0, 1]
    found = [
        tuple(list(v) if isinstance(v, np.ndarray) else v for v in row)
        for row in train[columns].itertuples(index=False)
    ]
    assert found == texts
    assert train["label"].tolist() == labels
    dev = read_examples(tmp_path / name / "eval.parquet")
    assert dev["text_a"].tolist() == train["text_a"].tolist()[::-1]
    assert task == Task.read(tmp_path / name / "task.json")
    assert task.metric == METRICS[name]
    assert task.labels == LABELS.get(name)
    assert task.choices == (4 if second == "choices" else 1)
    assert task.num_labels == len(LABELS.get(name, [1]))
    assert (task.sizes, task.dropped) == ({"train": 2, "eval": 2}, {"train": 0, "eval": 0})


@pytest.mark.parametrize("name", PAPER)
def test_registered_task_is_scored_on_a_split_that_has_labels(name):
    assert tuple(PAPER[name]["splits"].values()) == SPLITS[name]


@pytest.mark.parametrize("name", sorted(set(PAPER) - {"stsb"}))
def test_registered_task_refuses_a_hidden_label(name):
    """GLUE's test splits have -1, HellaSwag's an empty string."""
    rows = [dict(row) for row in CHOSEN[name][0]]
    rows[1][PAPER[name]["label"]] = "" if name == "hellaswag" else -1
    with pytest.raises(StrataError, match="test set, row 2, column .*the label is missing"):
        normalise(name, PAPER[name], pd.DataFrame(rows), "eval", "test set")


def valences(values: list[float]) -> pd.DataFrame:
    texts = [f"sentence {i}" for i in range(len(values))]
    return pd.DataFrame({"id": range(len(values)), "valence": values, "text": texts})


def test_demo_polarity_cuts_the_middle_out():
    """Bounds are exclusive; example_id stays the source's row."""
    frame = valences([-2.5, -0.3, 0.0, 0.3, 0.30001, -0.31])
    found = normalise("polarity", DEMO["polarity"], frame, "train", "reviews")
    assert found["label"].tolist() == [0, 1, 0]
    assert found["example_id"].tolist() == [0, 4, 5]
    assert found["text_a"].tolist() == ["sentence 0", "sentence 4", "sentence 5"]


def test_demo_tasks_hold_the_same_sentences_out(tmp_path):
    """Polarity's eval sentences are valence's without the middle: the holdout goes by text."""
    frame = valences(list(np.random.default_rng(0).uniform(-4, 4, 500)))
    dev = {}
    for name in ("polarity", "valence"):
        task = prepare(name, DEMO[name], {"train": frame}, {"train": "r"}, {}, tmp_path / name)
        dev[name] = read_examples(tmp_path / name / "eval.parquet")
        assert task.sizes["train"] + task.sizes["eval"] + task.dropped["train"] == 500
        assert 0.05 < task.sizes["eval"] / 500 < 0.15
    middle = dev["valence"]["label"].between(-0.3, 0.3)
    assert dev["polarity"]["text_a"].tolist() == dev["valence"]["text_a"][~middle].tolist()
    assert dev["polarity"]["label"].tolist() == (dev["valence"]["label"][~middle] > 0).tolist()
    assert (DEMO["polarity"]["metric"], DEMO["valence"]["metric"]) == (
        "accuracy",
        "pearson-spearman",
    )


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [
        (["no", "yes"], [0, 1, 0], [0, 1, 0]),
        (["no", "yes"], ["yes", "no", " yes "], [1, 0, 1]),
        (["no", "yes"], ["1", "0", "1"], [1, 0, 1]),
        (["no", "yes"], [0.0, 1.0, 1.0], [0, 1, 1]),
        (["false", "true"], [True, False, True], [1, 0, 1]),
        (["False", "True"], [True, False, True], [1, 0, 1]),
        (["false", "true"], ["true", "false", "true"], [1, 0, 1]),
        (["1", "2"], [1, 2, 1], [0, 1, 0]),
        (["1", "2"], ["2", "1", "2"], [1, 0, 1]),
        (["1", "2"], [2.0, 1.0, 2.0], [1, 0, 1]),
        (["-1", "1"], [-1, 1, -1], [0, 1, 0]),
    ],
)
def test_labels_are_names_or_indices(names, values, expected):
    found = normalise("mine", PAIR | {"labels": names}, pairs(label=values), "train", "t.csv")
    assert found["label"].tolist() == expected


@pytest.mark.parametrize("value", [-1, -1.0, "-1", None, "", " ", float("nan"), pd.NA])
def test_missing_label_is_refused_with_its_row(value):
    message = refusal(PAIR, pairs(label=pd.Series([0, 1, value], dtype=object)))
    assert "'mine' (eval): dev.csv, row 3, column 'label': the label is missing" in message
    assert "choose a split that has labels" in message


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, -2, True])
def test_unknown_label_is_refused_with_what_is_allowed(value):
    message = refusal(PAIR, pairs(label=pd.Series([0, value, 1], dtype=object)))
    assert message == (
        f"Task 'mine' (eval): dev.csv, row 2, column 'label': unknown label {value!r}; "
        "allowed are no, yes."
    )


def test_index_is_no_label_where_names_are_numbers():
    message = refusal(PAIR | {"labels": ["1", "2"]}, pairs(label=[1, 0, 2]))
    assert "row 2, column 'label': unknown label 0; allowed are 1, 2." in message


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("good", "the label 'good' is not a number"),
        (None, "the label None is not a number"),
        (float("nan"), "the label is missing (nan)"),
        (float("inf"), "the label is missing (inf)"),
    ],
)
def test_regression_label_is_a_finite_number(value, problem):
    message = refusal(SCORED, pairs(label=pd.Series([1.5, value, 2], dtype=object)))
    assert message == f"Task 'mine' (eval): dev.csv, row 2, column 'label': {problem}."


def test_regression_reads_numbers_written_as_text():
    found = normalise("mine", SCORED, pairs(label=["1.5", "-2", "3e-1"]), "train", "t.csv")
    assert found["label"].tolist() == [1.5, -2.0, 0.3]


# ---------------------------------------------------------------- texts and choices


@pytest.mark.parametrize("column", ["first", "second", "label"])
def test_missing_column_is_named_beside_those_there(column):
    message = refusal(PAIR, pairs().drop(columns=column))
    rest = ", ".join(c for c in ("first", "second", "label") if c != column)
    assert message == f"Task 'mine' (eval): dev.csv has no column '{column}'; it has {rest}."


@pytest.mark.parametrize("value", [None, 3, 2.5, float("nan"), ["a"]])
def test_text_that_is_not_a_string_is_refused(value):
    message = refusal(PAIR, pairs(second=pd.Series(["x", value, "z"], dtype=object)))
    kind = type(value).__name__
    assert message == (
        f"Task 'mine' (eval): dev.csv, row 2, column 'second': the text is {value!r} ({kind}), "
        "not a string."
    )


def test_empty_split_is_refused():
    assert refusal(PAIR, pairs()[:0]) == "Task 'mine': dev.csv, its eval split, is empty."


def test_template_puts_columns_together_and_leaves_other_text_alone():
    """Braces in a text, a dot in a column's name, a column used twice."""
    frame = pairs(first=["{second}", "b", "c"], **{"a.b": ["1.", "2.", "3."]})
    found = normalise("mine", PAIR | {"texts": ["{a.b} {first}-{first} {}"]}, frame, "train", "t")
    assert found["text_a"].tolist() == ["1. {second}-{second} {}", "2. b-b {}", "3. c-c {}"]


def test_template_with_an_unknown_column_is_refused():
    message = refusal(PAIR | {"texts": ["{first} {third}"]}, pairs())
    assert (
        message == "Task 'mine' (eval): dev.csv has no column 'third'; it has first, second, label."
    )


@pytest.mark.parametrize("template", ["{endings}", "endings"])
def test_choices_come_from_a_list_column(template):
    frame = choices([["a", "b"], ["c", "d"]], [1, 0])
    found = normalise("mine", CHOICE | {"choices": template}, frame, "train", "t")
    assert found["choices"].tolist() == [["a", "b"], ["c", "d"]]


def test_choices_without_a_list_column_are_refused():
    frame = pd.DataFrame({"prompt": ["p"], "endings": ["a"], "label": [0]})
    assert refusal(CHOICE, frame) == (
        "Task 'mine' (eval): dev.csv: the choices '{endings}' need exactly one column that holds "
        "a list; 0 of endings do."
    )


@pytest.mark.parametrize("value", [None, "cd", 5, float("nan")])
def test_choices_of_a_row_that_are_no_list_are_refused(value):
    """A string would otherwise be taken apart into its characters."""
    message = refusal(CHOICE, choices([["a", "b"], value], [0, 1]))
    assert f"row 2, column 'endings': the choices are {value!r}, not a list." in message


def test_choice_that_is_not_a_string_is_refused():
    message = refusal(CHOICE, choices([["a", "b"], ["c", None]], [0, 1]))
    assert "row 2, column 'endings': the text is None (NoneType), not a string." in message


def test_gold_index_is_a_whole_number():
    message = refusal(CHOICE, choices([["a", "b"], ["c", "d"]], [0, 0.5]))
    assert "row 2, column 'label': unknown label 0.5; allowed are whole numbers from 0." in message


def test_gold_index_beyond_the_choices_is_refused(tmp_path):
    good, bad = choices([["a", "b"]] * 2, [1, 0]), choices([["a", "b"]] * 2, [1, 2])
    with pytest.raises(StrataError, match=r"\(eval\), row 2: the label is choice 2 .* 2 choices"):
        prepared(tmp_path / "task", CHOICE, good, bad)
    assert not (tmp_path / "task").exists()


def test_choice_counts_that_differ_are_refused(tmp_path):
    two, three = choices([["a", "b"]], [0]), choices([["a", "b", "c"]], [0])
    with pytest.raises(StrataError, match="examples with 2 and 3 choices"):
        prepared(tmp_path, CHOICE, two, three)
    with pytest.raises(StrataError, match="examples with 1 choices"):
        prepared(tmp_path, CHOICE, choices([["a"]], [0]), choices([["a"]], [0]))


# ---------------------------------------------------------------- holdout, samples, baselines


def sides(frame: pd.DataFrame, fraction: float = 0.3, seed: int = 0) -> dict[str, str]:
    parts = hold_out(frame, fraction, seed)
    assert sum(map(len, parts.values())) == len(frame)
    return {text: side for side, part in parts.items() for text in part["text_a"]}


def test_holdout_is_stable_seeded_and_of_the_asked_size():
    """An example stays in its split when others are added; another seed draws others."""
    texts = [f"sentence {i}" for i in range(2000)]
    whole = sides(pd.DataFrame({"text_a": texts, "label": 0}))
    part = sides(pd.DataFrame({"text_a": texts[500:900], "label": 1}))
    assert part == {text: whole[text] for text in part}
    assert sides(pd.DataFrame({"text_a": texts, "label": 0}), seed=1) != whole
    assert list(whole.values()).count("eval") / 2000 == pytest.approx(0.3, abs=0.03)
    smaller = sides(pd.DataFrame({"text_a": texts, "label": 0}), fraction=0.1)
    assert all(whole[t] == "eval" for t in texts if smaller[t] == "eval")


def test_holdout_keeps_copies_of_a_text_together_and_rows_in_order():
    texts = [f"sentence {i % 50}" for i in range(200)]
    parts = hold_out(pd.DataFrame({"example_id": range(200), "text_a": texts}), 0.3, 0)
    assert not set(parts["train"]["text_a"]) & set(parts["eval"]["text_a"])
    assert all(p["example_id"].is_monotonic_increasing and len(p) for p in parts.values())


def test_holdout_tells_pairs_apart():
    """The second text counts too; otherwise all pairs of a premise would be in one split."""
    rows = pd.DataFrame({"text_a": "same premise", "text_b": [f"b{i}" for i in range(100)]})
    parts = hold_out(rows, 0.3, 0)
    assert len(parts["train"]) and len(parts["eval"])


def test_holdout_that_leaves_nothing_is_refused(tmp_path):
    description = PAIR | {"holdout": {"fraction": 1e-9, "seed": 0}}
    with pytest.raises(StrataError, match="no eval examples: of the 3 rows of train.csv, 0 are in"):
        prepared(tmp_path / "task", description, pairs())
    assert not (tmp_path / "task").exists()


def test_cuts_that_take_no_row_are_refused(tmp_path):
    cuts = [{"name": "low", "below": -9}, {"name": "high", "above": 9}]
    description = {**SCORED, "type": "classification", "cuts": cuts}
    with pytest.raises(StrataError, match="of the 3 rows of dev.csv, 3 are in no class"):
        prepared(tmp_path, description, pairs(label=[10, -10, 0]), pairs())


@pytest.fixture
def hundred(tmp_path) -> Path:
    pd.DataFrame({"example_id": range(100)}).to_parquet(tmp_path / "eval.parquet")
    return tmp_path / "eval.parquet"


def test_subsample_is_seeded_and_in_order(hundred):
    first = read_examples(hundred, Sample(10, seed=0))["example_id"].tolist()
    assert first == sorted(set(first)) and len(first) == 10
    assert first == read_examples(hundred, Sample(10, seed=0))["example_id"].tolist()
    assert first != read_examples(hundred, Sample(10, seed=1))["example_id"].tolist()
    assert read_examples(hundred, Sample(10)).index.tolist() == list(range(10))


@pytest.mark.parametrize("limit", [None, 100, 1000])
def test_subsample_of_everything_is_everything(hundred, limit):
    assert read_examples(hundred, Sample(limit))["example_id"].tolist() == list(range(100))


def baseline_of(task: Task, labels: np.ndarray) -> float:
    return baseline_score(task.metric, task.type, labels)


def test_baselines(tmp_path):
    """Majority label, mean (a constant: no correlation), most frequent answer index."""
    task = prepared(tmp_path / "c", PAIR, pairs(), pairs(label=[1, 1, 0]))
    assert baseline_of(task, np.array([1, 1, 0])) == 2 / 3
    scored = prepared(tmp_path / "r", SCORED, pairs(label=[1, 2, 3]), pairs(label=[1, 2, 3]))
    assert baseline_of(scored, np.array([1.0, 2, 3])) == 0
    rows = choices([["a", "b", "c"]] * 4, [2, 0, 2, 1])
    assert baseline_of(prepared(tmp_path / "m", CHOICE, rows, rows), rows["label"]) == 2 / 4
