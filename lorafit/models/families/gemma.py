"""Gemma (Gemma Team 2024): Llama's layout; scaled embeddings, and heads of a width of their own."""

from __future__ import annotations

from lorafit.models.families.base import Family
from lorafit.models.families.llama import llama_like
from lorafit.models.families.tiny import GEMMA as SPECIALS


def gemma_like(model_type: str, **sizes: object) -> Family:
    """A decoder of Gemma's layout, whose texts begin with `<bos>`."""
    return llama_like(
        model_type, SPECIALS, head_dim=16, pad_token_id=0, eos_token_id=1, bos_token_id=2, **sizes
    )


GEMMA = gemma_like("gemma")
