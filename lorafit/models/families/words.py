"""The words for parts of a block that every architecture has, and the names that modules usually have for them."""

from __future__ import annotations

from collections.abc import Mapping

LOGICAL_TARGETS = ("query", "key", "value", "output", "up", "down")
ALL_LINEAR = "all-linear"
"""A target: every linear layer of the backbone."""

# Ends of module names, those that are most often meant first. Query, key and value in one module are not looked for:
# how they lie in it differs from one architecture to the next.
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "query": ("q_proj", "query", "query_proj", "q_lin", "attn.q"),
    "key": ("k_proj", "key", "key_proj", "k_lin", "attn.k"),
    "value": ("v_proj", "value", "value_proj", "v_lin", "attn.v"),
    "output": (
        "o_proj",
        "out_proj",
        "out_lin",
        "attention.output.dense",
        "attention.dense",
        "self_attention.dense",
        "self_attn.dense",
        "attn.c_proj",
        "attn.o",
    ),
    "up": ("up_proj", "intermediate.dense", "dense_h_to_4h", "fc1", "fc_in", "lin1", "mlp.c_fc"),
    "down": ("down_proj", "output.dense", "dense_4h_to_h", "fc2", "fc_out", "lin2", "mlp.c_proj"),
}
