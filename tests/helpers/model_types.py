"""A tiny model of every supported type, with every parameter drawn at random.

Attention windows have 16 tokens, so that texts of 30 and more show which attention is used.
"""

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

IDS = {"vocab_size": 49, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
BASE = IDS | {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
}
GROUPED = BASE | {"num_key_value_heads": 2}
LLAMA = GROUPED | {"head_dim": 8}
GPT2 = IDS | {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 512}
DEBERTA = BASE | {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "pooler_hidden_size": 32,
}
SLIDING = {"sliding_window": 16}
ALTERNATING = SLIDING | {"sliding_window_pattern": 2}
HALF = SLIDING | {"use_sliding_window": True, "max_window_layers": 2}

# Config by model type; a suffix after a colon marks another kind of the same type.
CONFIGS = {
    "albert": BASE | {"embedding_size": 8},
    "arcee": LLAMA,
    "bert": BASE,
    "biogpt": BASE,
    "bloom": IDS | {"hidden_size": 32, "n_layer": 4, "n_head": 4},
    "camembert": BASE,
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA
    | {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "distilbert": IDS
    | {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 512},
    "electra": BASE | {"embedding_size": 8},
    "eurobert": GROUPED | {"classifier_pooling": "mean"},
    "eurobert:bos": GROUPED | {"classifier_pooling": "bos"},
    "exaone4": LLAMA | ALTERNATING,
    "falcon": IDS
    | {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "ffn_hidden_size": 48},
    "gemma": LLAMA,
    "gemma2": LLAMA | SLIDING | {"query_pre_attn_scalar": 8},
    "gemma3_text": LLAMA | ALTERNATING | {"query_pre_attn_scalar": 8},
    "glm": LLAMA,
    "glm4": LLAMA,
    "gpt2": GPT2,
    "gpt_neox": BASE,
    "gte": BASE,
    "helium": LLAMA,
    "hunyuan_v1_dense": LLAMA,
    "jina_embeddings_v3": BASE,
    "llama": LLAMA,
    "ministral": LLAMA | SLIDING | {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "mistral": LLAMA | SLIDING,
    "modernbert": BASE | {"local_attention": 16, "classifier_pooling": "cls"},
    "modernbert:mean": BASE | {"local_attention": 16, "classifier_pooling": "mean"},
    "mpnet": BASE,
    "nomic_bert": BASE,
    "olmo": GROUPED,
    "olmo2": GROUPED,
    "olmo3": GROUPED | SLIDING,
    "opt": IDS
    | {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "max_position_embeddings": 512,
        "word_embed_proj_dim": 32,
    },
    "phi": GROUPED,
    "phi3": GROUPED | SLIDING,
    "qwen2": GROUPED | HALF,
    "qwen3": LLAMA | HALF,
    "rembert": BASE | {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": BASE,
    "seed_oss": LLAMA,
    "smollm3": GROUPED | HALF | {"no_rope_layer_interval": 2},
    "stablelm": GROUPED | {"qk_layernorm": True},
    "starcoder2": GROUPED | SLIDING,
    "ultrabert": GROUPED
    | {"sliding_window": 8, "classifier_pooling": "cls", "prediction_head_size": 16},
    "ultrabert:mean": GROUPED
    | {"sliding_window": 8, "classifier_pooling": "mean", "prediction_head_size": 16},
    "xlm-roberta": BASE,
}
LAYERS, LABELS = 4, 3
LENGTHS = (8, 30, 70, 200)  # tokens


def model(kind: str, seed: int = 0, **changes: object) -> PreTrainedModel:
    """A classifier of three labels, in eval mode; no two of its parameters are alike."""
    settings = CONFIGS[kind] | changes
    config = AutoConfig.for_model(kind.partition(":")[0], **settings)
    config.num_labels, config.use_cache = LABELS, False
    torch.manual_seed(seed)
    made = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            shift = 0.5 if parameter.ndim == 1 else 0.0  # norms and biases: neither 0 nor 1
            parameter.copy_(0.3 * torch.randn(parameter.shape) + shift)
    return made


def texts(seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch of texts of LENGTHS, padded on the right."""
    torch.manual_seed(seed)
    ids = torch.full((len(LENGTHS), max(LENGTHS)), IDS["pad_token_id"])
    mask = torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.randint(3, IDS["vocab_size"], (length,))
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}
