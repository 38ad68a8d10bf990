"""Which encoders are supported, judged from a model's config.json alone (no torch here)."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strata.runtime.errors import StrataError


@dataclass(frozen=True)
class Architecture:
    """A row of the registry; jobs depend on the row of their model's type.

    Attributes
    ----------
    layers : str
        Attribute path of the list of layers in the base model.
    returns : int
        How many values a layer returns in a tuple; 0 if it returns the hidden states alone.
    final_norm : str or None
        Attribute path of the norm that the base model applies after the last layer, before the head
        reads; None if each layer ends with its own norm.
    reads : str
        What the head reads: the first token ("cls"), the mean over attended tokens ("mean"), or the
        last token that is not the padding token ("last").
    reads_key : str or None
        The key of the model's config that says what the head reads, if there is such a key ("bos"
        means the first token).
    lists : tuple of str
        Keys of the config that hold one entry per layer.
    tied_by : str or None
        The key of the config that makes what a layer does depend on its place.
    tied_first : str or None
        What only the first layer is or does, so that no other layer can take its place.
    neutral : float
        The weight with which its norms change nothing.
    shares_layers : bool
        All depths use one layer's weights: cutting layers saves no parameters.
    """

    layers: str
    returns: int = 0
    final_norm: str | None = None
    reads: str = "cls"
    reads_key: str | None = None
    lists: tuple[str, ...] = ()
    tied_by: str | None = None
    tied_first: str | None = None
    neutral: float = 1.0
    shares_layers: bool = False


def _decoder(layers: str = "layers", final_norm: str | None = "norm", **more: Any) -> Architecture:
    """A decoder with Transformers' own head for sequences, which reads the last token."""
    return Architecture(layers, final_norm=final_norm, reads="last", **more)


TYPES = ("layer_types",)
FIRST_UNNORMED = "its first layer has no attention norm"
# By model_type.
ARCHITECTURES = {
    "albert": Architecture("encoder.albert_layer_groups", shares_layers=True),
    "arcee": _decoder(),
    "bert": Architecture("encoder.layer"),
    "biogpt": _decoder(final_norm="layer_norm"),
    "bloom": _decoder("h", "ln_f", returns=2),
    "camembert": Architecture("encoder.layer"),
    "deberta": Architecture("encoder.layer", returns=2),
    "deberta-v2": Architecture("encoder.layer", returns=2),
    "distilbert": Architecture("transformer.layer"),
    "electra": Architecture("encoder.layer"),
    "eurobert": Architecture(
        "layers", final_norm="norm", reads="late", reads_key="classifier_pooling"
    ),
    "exaone4": _decoder(lists=TYPES),
    "falcon": _decoder("h", "ln_f", returns=2),
    "gemma": _decoder(neutral=0.0),
    "gemma2": _decoder(lists=TYPES, neutral=0.0),
    "gemma3_text": _decoder(lists=TYPES, neutral=0.0),
    "glm": _decoder(),
    "glm4": _decoder(),
    "gpt2": _decoder("h", "ln_f", tied_by="scale_attn_by_inverse_layer_idx"),
    "gpt_neox": _decoder(final_norm="final_layer_norm"),
    "gte": Architecture("layers"),
    "helium": _decoder(),
    "hunyuan_v1_dense": _decoder(),
    "jina_embeddings_v3": Architecture("layers"),
    "llama": _decoder(),
    "ministral": _decoder(lists=TYPES),
    "mistral": _decoder(),
    "modernbert": Architecture(
        "layers",
        final_norm="final_norm",
        reads_key="classifier_pooling",
        lists=TYPES,
        tied_first=FIRST_UNNORMED,
    ),
    "mpnet": Architecture("encoder.layer", returns=1),
    "nomic_bert": Architecture("layers"),
    "olmo": _decoder(),
    "olmo2": _decoder(),
    "olmo3": _decoder(lists=TYPES),
    "opt": _decoder("decoder.layers", "decoder.final_layer_norm"),
    "phi": _decoder(final_norm="final_layernorm"),
    "phi3": _decoder(),
    "qwen2": _decoder(lists=TYPES),
    "qwen3": _decoder(lists=TYPES),
    "rembert": Architecture("encoder.layer", returns=1),
    "roberta": Architecture("encoder.layer"),
    "seed_oss": _decoder(),
    "smollm3": _decoder(lists=("layer_types", "no_rope_layers")),
    "stablelm": _decoder(),
    "starcoder2": _decoder(),
    "ultrabert": Architecture(
        "layers", final_norm="norm", reads_key="classifier_pooling", lists=TYPES
    ),
    "xlm-roberta": Architecture("encoder.layer"),
}
# Where bottleneck adapters go, by model_type: the module of a layer whose output the attention adds
# to the residual stream, then the same for the feed-forward network. It is a separate table, so
# that only runs with adapters depend on it.
_BERT = ("attention.output.dropout", "output.dropout")
_PROJECTED = ("self_attn.o_proj", "mlp.down_proj")
_DROPPED = ("post_attention_dropout", "post_mlp_dropout")
_NORMED = ("post_attention_layernorm", "post_feedforward_layernorm")
ADAPTED = {
    "albert": ("albert_layers.0.attention.output_dropout", "albert_layers.0.ffn_output"),
    "bert": _BERT,
    "camembert": _BERT,
    "deberta": _BERT,
    "deberta-v2": _BERT,
    "distilbert": ("attention.out_lin", "ffn.dropout"),
    "electra": _BERT,
    "eurobert": _PROJECTED,
    "exaone4": _NORMED,
    "gemma": _PROJECTED,
    "gemma2": _NORMED,
    "gemma3_text": _NORMED,
    "gpt2": ("attn.resid_dropout", "mlp.dropout"),
    "gpt_neox": _DROPPED,
    "gte": _DROPPED,
    "jina_embeddings_v3": _DROPPED,
    "llama": _PROJECTED,
    "ministral": _PROJECTED,
    "mistral": _PROJECTED,
    "modernbert": ("attn.out_drop", "mlp.Wo"),
    "mpnet": ("attention.dropout", "output.dropout"),
    "nomic_bert": _DROPPED,
    "olmo": _PROJECTED,
    "olmo2": _NORMED,
    "olmo3": _NORMED,
    "phi3": _PROJECTED,
    "qwen2": _PROJECTED,
    "qwen3": _PROJECTED,
    "rembert": _BERT,
    "roberta": _BERT,
    "smollm3": _PROJECTED,
    "ultrabert": _PROJECTED,
    "xlm-roberta": _BERT,
}
# Model types that cannot be run layer by layer or cut like the others, and why.
REFUSED = {
    "big_bird": "its attention changes with the length of the text",
    "embedding_gemma2": "its config makes whichever layer is the last attend to everything",
    "longformer": "its head says which tokens attend to everything",
    "neobert": "Transformers has no such model, and code that comes with one is never run",
}
STATEFUL = ("dynamic", "longrope")  # kinds of rotary positions
READS = ("cls", "bos", "mean", "last")
WITH_CHOICES = frozenset(
    {
        "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet",
        "rembert", "roberta", "xlm-roberta",
    }
)  # fmt: skip
ADAPTER = "adapter_config.json"
# Keys of a config.json that are read here, and the largest value allowed for any of them.
COUNTS = {
    "num_hidden_layers",
    "n_layers",
    "n_layer",
    "num_hidden_groups",
    "inner_group_num",
    "conv_kernel_size",
}
MAX_COUNT = 1000


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config.json of a model folder; StrataError if there is none or it cannot be read."""
    path = Path(folder) / "config.json"
    if not os.path.isfile(path) and os.path.isfile(Path(folder) / ADAPTER):
        raise StrataError(
            f"{folder} holds adapters ({ADAPTER}), not a whole model: merge them into the model "
            "that they belong to (peft's merge_and_unload), save that, and give its folder."
        )
    if not os.path.isfile(path):  # unlike Path's, it answers for any text
        raise StrataError(
            f"{folder} has no config.json: a model folder in the Hugging Face layout has one next "
            "to its weights and tokenizer."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StrataError(
            f"{path} is not JSON: {error}; download the model's files again."
        ) from error
    if not isinstance(config, dict):
        raise StrataError(f"{path} holds no JSON object; download the model's files again.")
    return config


def check_supported(config: dict[str, Any], name: str) -> None:
    """Refuse, by name, an encoder whose layers we cannot run one by one."""
    kind = config.get("model_type")
    supported = f"supported are {', '.join(ARCHITECTURES)}"
    if isinstance(kind, str) and kind in REFUSED:
        raise StrataError(
            f"Model '{name}' is a {kind}, which Strata does not support: {REFUSED[kind]}."
        )
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise StrataError(f"Model '{name}' is of type '{kind}'; {supported}.")
    for key in ("_attn_implementation", "attn_implementation"):
        if "/" in str(config.get(key)):
            # Transformers would treat it as a kernel on the hub, which is code, and run it.
            raise StrataError(
                f"Model '{name}': its config.json asks for code from elsewhere ({key} "
                f"'{config[key]}'); remove that key."
            )
    if config.get("quantization_config"):
        raise StrataError(
            f"Model '{name}' is quantised (quantization_config in its config.json), but layers are "
            "compared as they were trained: give the model that it was made from."
        )
    if config.get("per_layer_config"):
        raise StrataError(
            f"Model '{name}' has a separate config for some layers (per_layer_config), which cut "
            "models would lose; it is not supported."
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if isinstance(rope, dict) and rope.get("rope_type", rope.get("type")) in STATEFUL:
        raise StrataError(
            f"Model '{name}' has rotary positions that change with the length of a batch "
            f"({rope.get('rope_type', rope.get('type'))} in its config.json), so that a row would "
            "depend on the other rows of its batch; it is not supported."
        )
    for key in COUNTS & config.keys():
        value = config[key]
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise StrataError(
                f"Model '{name}': its config.json sets {key} to {value!r}; allowed is a whole "
                f"number up to {MAX_COUNT}."
            )
    row = ARCHITECTURES[kind]
    read = config.get(row.reads_key, row.reads) if row.reads_key else row.reads
    if read not in READS:
        raise StrataError(
            f"Model '{name}' has {row.reads_key} '{read}' in its config.json: its head scores "
            "every token and averages the scores, which cannot be done with the one vector per row "
            "that is kept; allowed are cls and mean."
        )
    shared = max(config.get("num_hidden_groups", 1), config.get("inner_group_num", 1))
    if kind == "albert" and shared > 1:
        raise StrataError(
            f"Model '{name}' is an ALBERT with more than one layer group (num_hidden_groups or "
            f"inner_group_num above 1); {supported} (ALBERT with one group)."
        )
    if kind == "deberta-v2" and config.get("conv_kernel_size", 0) > 0:
        raise StrataError(
            f"Model '{name}' is a DeBERTa with a convolution (conv_kernel_size "
            f"{config['conv_kernel_size']}); {supported} (DeBERTa without one)."
        )


def layer_count(config: dict[str, Any]) -> int:
    """Number of layers L of an encoder, from its config.json; StrataError if it does not say."""
    names = ("num_hidden_layers", "n_layers", "n_layer")
    layers = next((config[name] for name in names if name in config), None)
    if not layers:
        raise StrataError(
            f"The config.json of a {config['model_type']} says {layers} layers "
            f"({', '.join(names)}); enter the number of layers that its weights have."
        )
    return layers


def check_declared(config: dict[str, Any], entry: dict[str, Any], name: str) -> None:
    """Refuse a downloaded model that differs from what its registry entry declares.

    For a local model only its config.json counts: it was there when the runs were planned.
    """
    if entry["source"].startswith("path:"):
        return
    facts = {"architecture": config["model_type"], "layers": layer_count(config)}
    for key, fact in facts.items():
        if key in entry and entry[key] != fact:
            raise StrataError(
                f"models.{name}.{key} is {entry[key]}, but the model's config.json says {fact}; "
                "correct the entry."
            )
