"""RoBERTa (Liu et al. 2019): BERT's layout with a head of its own; positions count from behind the pad token."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Tiny
from lorafit.models.families.bert import DROPOUTS, PLACES, SUBLAYER_ENDS
from lorafit.models.families.heads import Head, label_heads
from lorafit.models.families.tiny import ROBERTA as SPECIALS

_TINY = {
    **SIZES,
    "max_position_embeddings": SIZES["max_position_embeddings"] + 2,
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}


def roberta_like(model_type: str, loralib_alpha: float | None = None) -> Family:
    """An encoder of RoBERTa's layout."""
    return Family(
        model_type,
        backbone="roberta",
        blocks="encoder.layer",
        places=PLACES,
        heads=label_heads(
            Head("first", ("classifier",), "classifier.out_proj", dropout_key="classifier_dropout")
        ),
        dropouts=DROPOUTS,
        tiny=Tiny(_TINY, ("type_vocab_size", "layer_norm_eps"), SPECIALS),
        pluggable_attention=True,
        idle_key_bias=True,
        counts_from_pad=True,
        sublayer_ends=SUBLAYER_ENDS,
        post_norm="output",
        loralib_alpha=loralib_alpha,
    )


ROBERTA = roberta_like("roberta", loralib_alpha=16)
