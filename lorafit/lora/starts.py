"""Inits that take the start of an adapter out of the base's weight, by name.

Training goes on from W' = W - s B0 A0 and A = A0, B = B0, which together are W. What it comes to is

    W' + s B A  =  W + s (B A - B0 A0)  =  W + s [B, -B0] [A; A0]

an adapter of W itself, of twice the rank.
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
