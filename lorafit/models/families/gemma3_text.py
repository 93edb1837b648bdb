"""Gemma 3 (Gemma Team 2025), the language model: norms on query and key; five of six layers see a window."""

from __future__ import annotations

from lorafit.models.families.gemma import gemma_like

GEMMA3_TEXT = gemma_like("gemma3_text", query_pre_attn_scalar=16)
