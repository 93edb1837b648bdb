"""Gemma 2 (Gemma Team 2024): Gemma with capped scores and logits; every other layer attends to a window."""

from __future__ import annotations

from lorafit.models.families.gemma import gemma_like

GEMMA2 = gemma_like("gemma2", query_pre_attn_scalar=16)
