"""GPT-NeoX and Pythia (Black et al. 2022): query, key and value of each head lie side by side in one matrix."""

from __future__ import annotations

from lorafit.models.families.base import SIZES, Family, Place, Tiny
from lorafit.models.families.heads import decoder_heads

GPT_NEOX = Family(
    "gpt_neox",
    backbone="gpt_neox",
    blocks="layers",
    places={  # the slices of a query are as many as there are heads: `query_key_value` is adapted as a whole
        "output": Place("attention.dense"),
        "up": Place("mlp.dense_h_to_4h"),
        "down": Place("mlp.dense_4h_to_h"),
    },
    heads=decoder_heads(),
    dropouts=("attention_dropout", "hidden_dropout"),
    tiny=Tiny({**SIZES, "bos_token_id": 0, "eos_token_id": 0}, ("use_parallel_residual", "rotary_pct")),
    pluggable_attention=True,
    positions_and_masks=True,
    bare_output=True,
    config_aliases={  # llama.cpp's converter
        "rotary_pct": lambda config: config.rope_parameters["partial_rotary_factor"]
    },
    sublayer_ends=("post_attention_dropout", "post_mlp_dropout"),
)
