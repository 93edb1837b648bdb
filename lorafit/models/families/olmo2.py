"""OLMo 2 (OLMo Team 2024): Llama's layout with norms on query and key, and behind attention and MLP."""

from __future__ import annotations

from lorafit.models.families.llama import llama_like

OLMO2 = llama_like("olmo2", pad_token_id=0)
