"""A padding token for models that come without one, as most decoders do."""

import json
from pathlib import Path

from strata.study.architectures import ARCHITECTURES, read_config


def ensure_padding(folder: Path) -> None:
    """Let tokenizer and config.json of a fetched decoder agree on a padding token.

    A decoder's head reads the last token that is not the padding token
    (``GenericForSequenceClassification`` in Transformers), so it should be a token that no text
    contains: an added special token, preferably one named for padding; if there is none, the
    end-of-text token.
    """
    config = read_config(folder)
    kind = config.get("model_type")
    if kind not in ARCHITECTURES or ARCHITECTURES[kind].reads != "last":
        return
    from strata.data.tokens import load_tokenizer

    tokenizer = load_tokenizer(folder)
    if tokenizer.pad_token_id is None:
        others = {tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token}
        added = [str(t) for t in tokenizer.added_tokens_decoder.values() if t.special]
        spare = sorted((t for t in added if t not in others), key=lambda t: "pad" not in t.lower())
        tokenizer.pad_token = spare[0] if spare else tokenizer.eos_token
        tokenizer.save_pretrained(folder)
        print(f"The tokenizer has no padding token: using {tokenizer.pad_token}", flush=True)
    if config.get("pad_token_id") != tokenizer.pad_token_id:
        config["pad_token_id"] = tokenizer.pad_token_id
        text = json.dumps(config, indent=2) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")
        print(f"config.json: pad_token_id is now {tokenizer.pad_token_id}", flush=True)
