"""Dropout that costs a third on a CPU: four decisions from each 64-bit draw.

torch draws a number for every element, which at MiniLM's size is a tenth of a training step. On a GPU, where drawing is
cheap, torch's own dropout stays.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16  # a decision is 16 bits, so p is exact to 1e-5


class _CheapDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        """x where a 16-bit number falls beyond the threshold, scaled so that the mean stays."""
        threshold = round(p * _LEVELS)
        draws = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(1 << 63), None)
        keep = (draws.view(torch.int16)[: x.numel()] >= threshold - _LEVELS // 2).view(x.shape)
        ctx.save_for_backward(keep)
        ctx.scale = _LEVELS / (_LEVELS - threshold)
        return torch.mul(x, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of what was kept."""
        (keep,) = ctx.saved_tensors
        return torch.mul(grad, keep).mul_(ctx.scale), None


def dropout(x: Tensor, p: float) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p). Draws from torch's default generator."""
    if p == 0.0 or p >= 1.0 or x.device.type != "cpu":
        return F.dropout(x, p)
    return _CheapDropout.apply(x, p)


class Dropout(nn.Dropout):
    """nn.Dropout by `dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """x itself while evaluating."""
        return dropout(x, self.p) if self.training else x


def cheapen_dropouts(net: nn.Module) -> None:
    """Put a Dropout in the place of every nn.Dropout."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
