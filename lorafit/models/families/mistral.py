"""Mistral (Jiang et al. 2023): Llama's layout; in the first version every layer attends to a window."""

from __future__ import annotations

from lorafit.models.families.llama import llama_like

MISTRAL = llama_like("mistral", sliding_window=None)
