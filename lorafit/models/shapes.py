"""The configurations of the paper's base models, so that planning needs no network and no weights.

Only what decides shapes and counts is written out; the rest is the architecture's default.
Values: the config.json of each model on the Hugging Face hub.
"""

from __future__ import annotations

from typing import Any

_ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}

KNOWN_SHAPES: dict[str, dict[str, Any]] = {
    "openai-community/gpt2": {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12},
    "openai-community/gpt2-medium": {"model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16},
    "openai-community/gpt2-large": {"model_type": "gpt2", "n_embd": 1280, "n_layer": 36, "n_head": 20},
    "FacebookAI/roberta-base": {"model_type": "roberta", **_ROBERTA},
    "FacebookAI/roberta-large": {
        "model_type": "roberta",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        **_ROBERTA,
    },
    "microsoft/deberta-v2-xxlarge": {
        "model_type": "deberta-v2",
        "hidden_size": 1536,
        "num_hidden_layers": 48,
        "num_attention_heads": 24,
        "intermediate_size": 6144,
        "vocab_size": 128100,
        "type_vocab_size": 0,
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "layer_norm_eps": 1e-7,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
        "pooler_hidden_size": 1536,
        "attention_head_size": 64,
    },
}
