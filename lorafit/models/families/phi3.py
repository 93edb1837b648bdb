"""Phi-3 (Abdin et al. 2024): Llama's layout with query, key and value in one matrix, and gate and up in another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lorafit.models.families.base import Place
from lorafit.models.families.llama import llama_like

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _parts(config: PretrainedConfig) -> tuple[int, ...]:
    """The widths of query, key and value: heads may share keys and values."""
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shared = config.num_key_value_heads * width
    return config.num_attention_heads * width, shared, shared


_LIKE_LLAMA = llama_like("phi3", pad_token_id=0)

PHI3 = replace(
    _LIKE_LLAMA,
    places={
        "query": Place("self_attn.qkv_proj", 0, 3, _parts),
        "key": Place("self_attn.qkv_proj", 1, 3, _parts),
        "value": Place("self_attn.qkv_proj", 2, 3, _parts),
        "output": Place("self_attn.o_proj"),
        "up": Place("mlp.gate_up_proj", 1, 2),
        "down": Place("mlp.down_proj"),
    },
    dropouts=("attention_dropout", "embd_pdrop", "resid_pdrop"),
    sublayer_ends=("resid_attn_dropout", "resid_mlp_dropout"),
)
