"""DeBERTa v2 and v3 (He et al. 2021): attention over relative positions, computed by the module itself."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.bert import DROPOUTS, PLACES, SUBLAYER_ENDS
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import BERT as SPECIALS

# As DeBERTa-v2-xxlarge has them.
_RELATIVE = {
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "conv_kernel_size": 3,
    "conv_act": "gelu",
}

DEBERTA_V2 = Family(
    "deberta-v2",
    backbone="deberta",
    blocks="encoder.layer",
    places=PLACES
    | {
        "query": Place("attention.self.query_proj"),
        "key": Place("attention.self.key_proj"),
        "value": Place("attention.self.value_proj"),
    },
    heads=label_heads(
        Head(
            "first",
            ("pooler", "dropout", "classifier"),
            "classifier",
            kept_by_warm_start="pooler",
            dropout_key="cls_dropout",
        )
    ),
    dropouts=DROPOUTS,
    tiny=Tiny(
        {**SIZES, **_RELATIVE, "pad_token_id": 0},
        (*_RELATIVE, "layer_norm_eps", "max_relative_positions"),
        SPECIALS,
    ),
    sublayer_ends=SUBLAYER_ENDS,
    post_norm="output",
    loralib_alpha=32,
)
