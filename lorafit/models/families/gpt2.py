"""GPT-2 (Radford et al. 2019): query, key and value in one Conv1D."""

from __future__ import annotations

import torch

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import decoder_heads

_SIZES = {key: size for key, size in SIZES.items() if key != "intermediate_size"}  # four times the width

GPT2 = Family(
    "gpt2",
    backbone="transformer",
    blocks="h",
    places={
        "query": Place("attn.c_attn", 0, 3),
        "key": Place("attn.c_attn", 1, 3),
        "value": Place("attn.c_attn", 2, 3),
        "output": Place("attn.c_proj"),
        "up": Place("mlp.c_fc"),
        "down": Place("mlp.c_proj"),
    },
    heads=decoder_heads(),
    dropouts=("attn_pdrop", "embd_pdrop", "resid_pdrop"),
    tiny=Tiny({**_SIZES, "bos_token_id": 0, "eos_token_id": 0}),
    pluggable_attention=True,
    positions_and_masks=True,
    bare_output=True,
    transposed=True,
    sublayer_ends=("attn.resid_dropout", "mlp.dropout"),
    wrapped_blocks=True,
    positions="wpe",
    loralib_alpha=32,
    loralib_wrapped=True,
    loralib_names={"lm_head.decoder.weight": "lm_head.weight"},
    computed={
        "attn.bias": lambda like: torch.ones_like(like).tril(),
        "attn.masked_bias": lambda like: torch.full_like(like, -1e4),
    },
)
