"""Qwen2 (Yang et al. 2024): Llama's layout with biases on query, key and value; upper layers may attend to a window."""

from __future__ import annotations

from lorafit.models.families.llama import llama_like

QWEN2 = llama_like("qwen2")
