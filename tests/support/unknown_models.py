"""Tiny configs of architectures that have no file in lorafit: what is known of them is found by structure."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}

CONFIGS: dict[str, dict[str, Any]] = {
    "opt": {**_SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "gptj": {**_SIZES, "rotary_dim": 4},
    "phi": _SIZES,
    "bloom": {key: size for key, size in _SIZES.items() if key != "max_position_embeddings"},
    "starcoder2": {**_SIZES, "num_key_value_heads": 2, "sliding_window": 5},
    "roformer": {**_SIZES, "embedding_size": 16},
    "mpnet": {**_SIZES, "max_position_embeddings": 130, "pad_token_id": 1},
    "camembert": {**_SIZES, "max_position_embeddings": 130, "pad_token_id": 1},
    "albert": {**_SIZES, "embedding_size": 16},
}
DECODERS = ("opt", "gptj", "phi", "bloom", "starcoder2")
ENCODERS = ("roformer", "mpnet", "camembert", "albert")


def unknown_config(model_type: str, **changes: Any) -> PretrainedConfig:
    """Two narrow layers."""
    return AutoConfig.for_model(model_type, **{**_TOKENS, **CONFIGS[model_type], **changes})
