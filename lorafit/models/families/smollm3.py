"""SmolLM3 (Bakouch et al. 2025): Llama's layout; every fourth layer knows no positions, and may attend to a window."""

from __future__ import annotations

from lorafit.models.families.llama import llama_like

SMOLLM3 = llama_like("smollm3", pad_token_id=0, no_rope_layer_interval=2)
