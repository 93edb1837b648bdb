"""Qwen3 (Yang et al. 2025): Llama's layout with norms on query and key; upper layers may attend to a window."""

from __future__ import annotations

from lorafit.models.families.llama import llama_like

QWEN3 = llama_like("qwen3", head_dim=8)
