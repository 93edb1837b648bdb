"""DistilBERT (Sanh et al. 2019): a BERT of half the blocks, with other names and without kinds of tokens."""

from __future__ import annotations

from torch.nn import functional as F

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import BERT as SPECIALS

_TINY = {("hidden_dim" if key == "intermediate_size" else key): size for key, size in SIZES.items()}

DISTILBERT = Family(
    "distilbert",
    backbone="distilbert",
    blocks="transformer.layer",
    places={
        "query": Place("attention.q_lin"),
        "key": Place("attention.k_lin"),
        "value": Place("attention.v_lin"),
        "output": Place("attention.out_lin"),
        "up": Place("ffn.lin1"),
        "down": Place("ffn.lin2"),
    },
    heads=label_heads(
        Head(
            "first",
            ("pre_classifier", "dropout", "classifier"),
            "classifier",
            activations={"pre_classifier": F.relu},
            dropout_key="seq_classif_dropout",
        )
    ),
    dropouts=("dropout", "attention_dropout"),
    tiny=Tiny({**_TINY, "pad_token_id": 0}, ("sinusoidal_pos_embds",), SPECIALS),
    pluggable_attention=True,
    idle_key_bias=True,
)
