"""Granite (IBM 2024): Llama's layout with multipliers on embeddings, scores, sums and logits."""

from __future__ import annotations

from dataclasses import replace

from lorafit.models.families.heads import TEXT
from lorafit.models.families.llama import llama_like

_LIKE_LLAMA = llama_like(
    "granite",
    embedding_multiplier=4.0,
    attention_multiplier=0.25,
    residual_multiplier=0.5,
    logits_scaling=2.0,
)

GRANITE = replace(_LIKE_LLAMA, heads={"text": TEXT})  # transformers has no net of it that gives labels
