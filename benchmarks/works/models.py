"""The encoder and examples that works about models share: random weights, made in a second.

Twelve layers of width 384 (MiniLM-L12's shape) unless a work says otherwise; texts with log-normal
lengths, as in a corpus: half have 20 words or fewer, one in a hundred has 100.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerFast

from strata.data.batches import Rows
from strata.data.task import Task
from strata.data.tokens import load_tokenizer
from strata.modeling.loading import load_model

LAYERS, WIDTH = 12, 384
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = [f"w{i}" for i in range(2_000)]
TASK = Task(
    name="random",
    type="classification",
    labels=["no", "yes"],
    metric="accuracy",
    choices=1,
    sizes={},
    dropped={},
    source={"source": "benchmarks"},
)


def prepare(folder: Path, examples: int, layers: int = LAYERS, width: int = WIDTH) -> None:
    """Write the model, its tokenizer and the examples."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "roberta",
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        max_position_embeddings=130,
        pad_token_id=1,
        type_vocab_size=1,
    )
    AutoModel.from_config(config).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(20), 0.7, examples), 3, 120).astype(int)
    texts = [" ".join(rng.choice(WORDS, length)) for length in lengths]
    frame = {"example_id": np.arange(examples).astype(str), "text_a": texts}
    labels = rng.integers(2, size=examples)
    pd.DataFrame(frame | {"label": labels}).to_parquet(folder / "examples.parquet")


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word."""
    inner = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(SPECIAL + WORDS)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokens = {"bos": 0, "cls": 0, "eos": 2, "sep": 2, "pad": 1, "unk": 3}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=128,
        **{f"{name}_token": SPECIAL[i] for name, i in tokens.items()},
    )


@dataclass(frozen=True)
class Given:
    """What every contestant starts from."""

    model: PreTrainedModel
    rows: Rows

    @classmethod
    def load(cls, folder: Path) -> "Given":
        from strata.modeling.compute import device

        model = load_model(folder / "model", TASK, seed=0).to(device()).eval()
        examples = pd.read_parquet(folder / "examples.parquet")
        return cls(model, Rows(load_tokenizer(folder / "model"), examples, max_length=128))

    def batches(self, size: int) -> list[dict[str, torch.Tensor]]:
        """Inputs of all rows, in batches of similar length."""
        from strata.modeling.compute import device

        found = self.rows.batches(range(len(self.rows)), size, device())
        return [(chosen, inputs) for chosen, inputs, _ in found]
