"""Inits of PEFT that take an adapter's start out of the base: PEFT does it again whenever it loads such an adapter."""

from __future__ import annotations

import torch
from torch import Tensor

from lorafit.lora import STARTS


def on_the_base(
    init: str, weight: Tensor, scale: float, lora_a: Tensor, lora_b: Tensor
) -> tuple[Tensor, Tensor]:
    """[A; A0] and [B, -B0] (see `lora.starts`); of no higher rank than W has."""
    start_a, start_b = STARTS[init](weight, len(lora_a), scale)
    a, b = torch.cat([lora_a, start_a]), torch.cat([lora_b, -start_b], dim=1)
    out_features, in_features = weight.shape
    if len(a) <= min(weight.shape):
        return a, b
    update = b @ a
    if in_features <= out_features:
        return torch.eye(in_features), update
    return update, torch.eye(out_features)
