"""BERT (Devlin et al. 2019), and the layout that its followers kept."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import BERT as SPECIALS

PLACES = {
    "query": Place("attention.self.query"),
    "key": Place("attention.self.key"),
    "value": Place("attention.self.value"),
    "output": Place("attention.output.dense"),
    "up": Place("intermediate.dense"),
    "down": Place("output.dense"),
}
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
SUBLAYER_ENDS = ("attention.output.dropout", "output.dropout")

BERT = Family(
    "bert",
    backbone="bert",
    blocks="encoder.layer",
    places=PLACES,
    heads=label_heads(
        Head(
            "first",
            ("bert.pooler", "dropout", "classifier"),
            "classifier",
            of_backbone=("bert.pooler",),
            dropout_key="classifier_dropout",
        )
    ),
    dropouts=DROPOUTS,
    tiny=Tiny(
        {**SIZES, "type_vocab_size": 2, "pad_token_id": 0}, ("type_vocab_size", "layer_norm_eps"), SPECIALS
    ),
    pluggable_attention=True,
    idle_key_bias=True,
    sublayer_ends=SUBLAYER_ENDS,
    post_norm="output",
)
