"""Llama (Touvron et al. 2023), and the layout that many took over from it."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import decoder_heads


def llama_like(model_type: str, **sizes: object) -> Family:
    """A decoder of Llama's layout. `sizes`: what its tiny config needs besides."""
    tiny = {**SIZES, "num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 0, **sizes}
    return Family(
        model_type,
        backbone="model",
        blocks="layers",
        places={
            "query": Place("self_attn.q_proj"),
            "key": Place("self_attn.k_proj"),
            "value": Place("self_attn.v_proj"),
            "output": Place("self_attn.o_proj"),
            "up": Place("mlp.up_proj"),
            "down": Place("mlp.down_proj"),
        },
        heads=decoder_heads(),
        dropouts=("attention_dropout",),
        tiny=Tiny(tiny),
        pluggable_attention=True,
        positions_and_masks=True,
        bare_output=True,
    )


LLAMA = llama_like("llama")
