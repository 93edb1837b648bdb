"""Inits of PEFT that take the start of an adapter out of the base's weights: PEFT does it again whenever it loads one.

With W' = W - s B0 A0 the base that the adapter stands on, and A, B what was trained,

    W' + s B A  =  W + s (B A - B0 A0)  =  W + s [B, -B0] [A; A0]

is an adapter of the base itself, of twice the rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Start = Callable[[Tensor, int, float], tuple[Tensor, Tensor]]
"""W [out, in] in float32, r, s -> A0 [r, in] and B0 [out, r]."""


def pissa(weight: Tensor, r: int, scale: float) -> tuple[Tensor, Tensor]:
    """The r largest singular values and their vectors, half of each value in either factor (Meng et al. 2024)."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    root = (values[:r] / scale).sqrt()
    return root[:, None] * right[:r], left[:, :r] * root


def olora(weight: Tensor, r: int, scale: float) -> tuple[Tensor, Tensor]:
    """The first r columns of Q and rows of R (Büyükakyüz 2024)."""
    del scale
    q, upper = torch.linalg.qr(weight)
    return upper[:r], q[:, :r]


STARTS: Mapping[str, Start] = {"pissa": pissa, "olora": olora}


def on_the_base(
    init: str, weight: Tensor, scale: float, lora_a: Tensor, lora_b: Tensor
) -> tuple[Tensor, Tensor]:
    """[A; A0] and [B, -B0]; of no higher rank than W has."""
    start_a, start_b = STARTS[init](weight, len(lora_a), scale)
    a, b = torch.cat([lora_a, start_a]), torch.cat([lora_b, -start_b], dim=1)
    out_features, in_features = weight.shape
    if len(a) <= min(weight.shape):
        return a, b
    update = b @ a
    if in_features <= out_features:
        return torch.eye(in_features), update
    return update, torch.eye(out_features)
