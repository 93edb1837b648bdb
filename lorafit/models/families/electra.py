"""ELECTRA (Clark et al. 2020): BERT's layout with a head of its own; embeddings may be narrower than the blocks."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Tiny
from lorafit.models.families.bert import DROPOUTS, PLACES, SUBLAYER_ENDS
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import BERT as SPECIALS

ELECTRA = Family(
    "electra",
    backbone="electra",
    blocks="encoder.layer",
    places=PLACES,
    heads=label_heads(
        Head("first", ("classifier",), "classifier.out_proj", dropout_key="classifier_dropout")
    ),
    dropouts=DROPOUTS,
    tiny=Tiny(
        {**SIZES, "embedding_size": 16, "type_vocab_size": 2, "pad_token_id": 0},
        ("type_vocab_size", "layer_norm_eps"),
        SPECIALS,
    ),
    pluggable_attention=True,
    idle_key_bias=True,
    sublayer_ends=SUBLAYER_ENDS,
    post_norm="output",
)
