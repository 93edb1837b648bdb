"""ModernBERT (Warner et al. 2024): rotary positions, fused projections; two of three layers see a window."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import BERT as SPECIALS

MODERNBERT = Family(
    "modernbert",
    backbone="model",
    blocks="layers",
    places={
        "query": Place("attn.Wqkv", 0, 3),
        "key": Place("attn.Wqkv", 1, 3),
        "value": Place("attn.Wqkv", 2, 3),
        "output": Place("attn.Wo"),
        "up": Place("mlp.Wi", 1, 2),  # its first half goes through the activation, as Llama's gate does
        "down": Place("mlp.Wo"),
    },
    heads=label_heads(
        Head(
            "first",
            ("head", "drop", "classifier"),
            "classifier",
            if_config=("classifier_pooling", "cls"),
            dropout_key="classifier_dropout",
        )
    ),
    dropouts=("attention_dropout", "embedding_dropout", "mlp_dropout"),
    tiny=Tiny(
        {**SIZES, "local_attention": 1024, "pad_token_id": 0}, ("classifier_pooling", "norm_eps"), SPECIALS
    ),
    pluggable_attention=True,
)
