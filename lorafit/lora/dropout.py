"""Dropout whose random numbers come from a source of the caller's choice, and which costs a third on a CPU.

torch draws a number for every element, which at MiniLM's size is a tenth of a training step; here a 64-bit draw
makes four decisions. On a GPU, where drawing is cheap, it is one draw an element there too.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEVELS = 1 << 16  # a decision is 16 bits, so p is exact to 1e-5


class DropoutSource(Protocol):
    """Where a dropout module gets its masks from: `Draws`, or something that knows which row belongs to whom."""

    def keep_mask(self, x: Tensor, p: float) -> Tensor:
        """True where an element of x is kept: each with probability `keep_share(p)`, on x's device."""
        ...

    def of_member(self, member: int) -> DropoutSource:
        """That of one of the members that share a row; its own where there is one member."""
        ...


def keep_share(p: float) -> float:
    """The probability 1 - p of being kept, rounded to what 16 bits can tell."""
    return 1.0 - round(p * _LEVELS) / _LEVELS


def keep_mask(x: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """True where an element of x is kept: each with probability `keep_share(p)`, on x's device. Without a generator
    it is drawn from torch's global one."""
    if x.device.type != "cpu":
        mask = torch.empty(x.shape, dtype=torch.bool, device=x.device)
        return mask.bernoulli_(keep_share(p), generator=generator)
    draws = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64)
    draws.random_(-(1 << 63), None, generator=generator)
    threshold = round(p * _LEVELS) - _LEVELS // 2
    return (draws.view(torch.int16)[: x.numel()] >= threshold).view(x.shape)


class TorchDraws:
    """Masks from torch's global generator."""

    def keep_mask(self, x: Tensor, p: float) -> Tensor:
        """See DropoutSource."""
        return keep_mask(x, p, None)

    def of_member(self, _member: int) -> TorchDraws:
        """The same."""
        return self


def dropout(x: Tensor, p: float, source: DropoutSource | None = None) -> Tensor:
    """Each element is 0 with probability p, else x / (1 - p). Without a source this is torch's own dropout."""
    share = keep_share(p)
    if source is None or p == 0.0 or share == 0.0 or x.is_meta:
        return F.dropout(x, p)
    mask = source.keep_mask(x, p)
    if torch.compiler.is_compiling():  # which finds the fewest passes itself
        return masked(x, mask) * (1.0 / share)
    y: Tensor = _Masked.apply(x, mask, 1.0 / share)
    return y


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """x where `mask` is true, else 0."""
    return torch.mul(x, mask.view(torch.int8))  # by a mask of bool it takes several times as long


class Dropout(nn.Dropout):
    """nn.Dropout by `dropout`; `draw_from` gives it its source."""

    draws: DropoutSource | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x itself while evaluating."""
        return dropout(x, self.p, self.draws) if self.training else x


class _Masked(torch.autograd.Function):
    """x * mask * scale, in fewer passes than autograd takes, and without the cost of a separate setup_context."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return masked(x, mask).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return masked(grads[0], mask).mul_(ctx.scale), None, None
