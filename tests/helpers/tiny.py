"""Tiny encoders and tasks, made by code: random weights, a real tokenizer, learnable labels."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from strata.data.batches import Rows
from strata.data.task import Task
from strata.modeling.head_styles import HEAD_STYLES
from strata.study.run_records import RunMetrics
from strata.study.settings import (
    AblationSettings,
    AdapterSettings,
    LoraSettings,
    ReinitSettings,
    TrainingSettings,
)
from strata.study.variants import Variant

ARCHITECTURES = (
    "roberta",
    "albert",
    "electra",
    "bert",
    "distilbert",
    "mpnet",
    "deberta-v2",
    "xlm-roberta",
)
WORDS = [f"w{i}" for i in range(40)] + ["good", "bad", "same", "other"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
PAD = 1
# Names that differ between architectures, and what makes each of them exercise its own paths.
SETTINGS = {
    "distilbert": {"dim": 16, "n_layers": 4, "n_heads": 4, "hidden_dim": 32},
    "albert": {"embedding_size": 8},
    "electra": {"embedding_size": 8},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 16,
    },
}


# A short fine-tuning, with every setting that one has.
TRAINING = {
    "max_steps": 8,
    "epochs": None,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "max_length": 32,
    "group_by_length": False,
    "checkpoint": "last",
    "eval_steps": 500,
    "precision": "float32",
}


def training(**changes: object) -> TrainingSettings:
    """The settings of a short fine-tuning."""
    return TrainingSettings(**(TRAINING | changes))


def ablation(variant: Variant, dropout: float = 0.0) -> AblationSettings:
    """What a variant needs besides its name."""
    if variant.kind in ("reinit", "keep"):
        return ReinitSettings("paper")
    if variant.kind == "adapter":
        return AdapterSettings(3)
    return LoraSettings(2, 4, dropout) if variant.kind == "lora" else None


def metrics(**changes: object) -> RunMetrics:
    """Metrics of a run that did not fail."""
    made = RunMetrics(
        metric="accuracy",
        score=0.9,
        score_low=0.8,
        score_high=0.95,
        baseline=0.6,
        n_examples=10,
        degenerate=False,
        failed=False,
        confidence=0.95,
        resamples=100,
    )
    return replace(made, **changes)


def config(architecture: str, layers: int = 4) -> object:
    """Config of a tiny encoder: hidden size 16, 4 heads, 64 positions."""
    common = {
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 32,
    }
    if architecture == "distilbert":
        common = {}
    own = dict(SETTINGS.get(architecture, {}))
    if "n_layers" in own:
        own["n_layers"] = layers
    return AutoConfig.for_model(
        architecture,
        vocab_size=len(SPECIAL) + len(WORDS),
        max_position_embeddings=64,
        pad_token_id=PAD,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.3,  # large, so that layers differ visibly
        **common,
        **own,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """Whitespace words, <s> a </s> or <s> a </s> b </s>."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=64,
    )


def save_model(folder: Path, architecture: str, layers: int = 4) -> Path:
    """A pretrained-model folder in the Hugging Face layout."""
    torch.manual_seed(0)
    AutoModel.from_config(config(architecture, layers)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentences(count: int, seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [list(rng.choice(WORDS[:40], rng.integers(2, 9))) for _ in range(count)]


def pair_rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Two texts; the label is whether the second says "same" or "other"."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    first, second = sentences(count, seed + 1), sentences(count, seed + 2)
    marked = [[("same", "other")[y], *s] for y, s in zip(labels, second, strict=True)]
    return pd.DataFrame(
        {
            "premise": [" ".join(s) for s in first],
            "hypothesis": [" ".join(s) for s in marked],
            "label": [("yes", "no")[y] for y in labels],
        }
    )


def regression_rows(count: int, seed: int = 0) -> pd.DataFrame:
    """The target is the share of "good" among "good" and "bad"."""
    rng = np.random.default_rng(seed)
    goods = rng.integers(0, 5, size=count)
    texts = [
        " ".join(rng.permutation(["good"] * g + ["bad"] * (4 - g) + s))
        for g, s in zip(goods, sentences(count, seed + 1), strict=True)
    ]
    return pd.DataFrame({"text": texts, "score": goods / 4})


def choice_rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Three endings, the right one begins with "good"."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(3, size=count)
    contexts = sentences(count, seed + 1)
    endings = [
        [
            " ".join(["good" if c == g else "bad", *rng.choice(WORDS[:40], rng.integers(1, 6))])
            for c in range(3)
        ]
        for g in gold
    ]
    return pd.DataFrame(
        {"context": [" ".join(s) for s in contexts], "endings": endings, "answer": gold}
    )


def task(kind: str = "classification") -> Task:
    """A prepared task of a type; its examples are those of `examples`."""
    return Task(
        name=f"tiny-{kind}",
        type=kind,
        labels=["yes", "no"] if kind == "classification" else None,
        metric="pearson" if kind == "regression" else "accuracy",
        choices=3 if kind == "multiple-choice" else 1,
        sizes={},
        dropped={},
        source={"source": "tests/helpers/tiny.py"},
    )


def examples(kind: str = "classification", count: int = 12, seed: int = 0) -> pd.DataFrame:
    """The rows above in the form of a prepared task."""
    if kind == "classification":
        rows = pair_rows(count, seed)
        label = (rows["label"] == "no").astype(np.int64)
        columns = {"text_a": rows["premise"], "text_b": rows["hypothesis"], "label": label}
    elif kind == "regression":
        rows = regression_rows(count, seed)
        columns = {"text_a": rows["text"], "label": rows["score"]}
    else:
        rows = choice_rows(count, seed)
        columns = {"text_a": rows["context"], "choices": rows["endings"], "label": rows["answer"]}
    return pd.DataFrame({"example_id": np.arange(count), **columns})


def rows(kind: str = "classification", count: int = 12, seed: int = 0) -> Rows:
    return Rows(tokenizer(), examples(kind, count, seed), 64)


def task_model(
    architecture: str,
    kind: str = "classification",
    layers: int = 4,
    seed: int = 0,
    style: str = "transformers",
) -> PreTrainedModel:
    """A task model of random weights, none of them 0 or 1, in eval mode."""
    settings = config(architecture, layers)
    auto = AutoModelForMultipleChoice
    if kind != "multiple-choice":
        auto = AutoModelForSequenceClassification
        settings.num_labels = 1 if kind == "regression" else 2
        settings.problem_type = task(kind).kind.problem_type
    torch.manual_seed(seed)
    if style == "transformers":
        model = auto.from_config(settings)
    else:
        model = HEAD_STYLES[style](task(kind), architecture)(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases and norms, which start as 0 and 1
                parameter += 0.2 * torch.randn(parameter.shape)
    return model.eval()


class _Through(nn.Module):
    """DeBERTa's encoder needs at least one layer: this one changes nothing."""

    def forward(self, hidden, *_, **__):
        return hidden, None


def without(model: PreTrainedModel, removed: range) -> PreTrainedModel:
    """A copy without the layers numbered in `removed` (from 1); its own forward runs it."""
    model = deepcopy(model)
    count = model.config.num_hidden_layers
    kept = [k for k in range(count) if k + 1 not in removed]
    model.config.num_hidden_layers = len(kept)  # all that ALBERT looks at
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ModuleList) and len(child) == count:
                layers = [child[k] for k in kept]
                if not kept and model.config.model_type == "deberta-v2":
                    layers = [_Through()]
                setattr(parent, name, nn.ModuleList(layers))
    return model
