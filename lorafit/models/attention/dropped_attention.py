"""Attention with dropout over the examples of a packed row, in few passes and without a copy per head and example.

torch's own kernels have no dropout on a CPU. Written out in plain operations, every tensor is copied four times on
its way from the row to the products and back; here each way is one selection of heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafit.lora.dropout import DropoutSource, keep_share, masked


@dataclass(frozen=True)
class Places:
    """Between a row of tokens [T * heads, d] and padded examples [n * heads * longest, d].

    `into` [n * heads * longest]: the head of the row that stands there; any where there is no token. `back`
    [T * heads]: where each is found again. `shape`: n * heads, longest.
    """

    into: Tensor
    back: Tensor
    shape: tuple[int, int]

    @staticmethod
    def of(scatter: Tensor, num_examples: int, longest: int, num_heads: int) -> Places:
        """`scatter` [T] is the place of every token in [num_examples * longest]."""
        heads = torch.arange(num_heads, device=scatter.device)
        example, place = scatter.div(longest, rounding_mode="floor"), scatter.remainder(longest)
        back = ((example[:, None] * num_heads + heads) * longest + place[:, None]).flatten()
        into = back.new_zeros(num_examples * num_heads * longest)
        into[back] = torch.arange(len(back), device=back.device)
        return Places(into, back, (num_examples * num_heads, longest))

    def unpack(self, x: Tensor) -> Tensor:
        """[1, heads, T, d] -> [n * heads, longest, d], anything where there is no token."""
        rows = x[0].transpose(0, 1).reshape(-1, x.shape[-1])
        return rows.index_select(0, self.into).view(*self.shape, x.shape[-1])

    def unpack_with_zeros(self, x: Tensor) -> Tensor:
        """[1, T, heads, d] -> [n * heads, longest, d], zeros where there is no token."""
        rows = x.reshape(-1, x.shape[-1])
        padded = rows.new_zeros(len(self.into), x.shape[-1])
        return padded.index_copy_(0, self.back, rows).view(*self.shape, x.shape[-1])

    def pack(self, x: Tensor, num_heads: int) -> Tensor:
        """[n * heads, longest, d] -> [1, T, heads, d]."""
        rows = x.reshape(-1, x.shape[-1]).index_select(0, self.back)
        return rows.view(1, -1, num_heads, x.shape[-1])


def plain(query: Tensor, key: Tensor) -> bool:
    """Whether `dropped_attention` may be used: in full precision, with a key for every query head."""
    return (
        query.dtype in (torch.float32, torch.float64)
        and query.shape[1] == key.shape[1]
        and not torch.is_autocast_enabled(query.device.type)
    )


def dropped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    places: Places,
    seen: Tensor | None,
    scaling: float | None,
    dropout: tuple[float, DropoutSource],
) -> Tensor:
    """dropout(softmax(q k^T s)) v for each example of the row.  [1, heads, T, d] each -> [1, T, heads, d].

    `seen` broadcasts to [n, heads, longest, longest] and is false where a query does not see a key; None: it sees all.
    """
    unseen = None
    if seen is not None:
        zeros = torch.zeros(seen.shape, dtype=query.dtype, device=query.device)
        unseen = zeros.masked_fill_(~seen, torch.finfo(query.dtype).min)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out: Tensor = _DroppedAttention.apply(query, key, value, places, unseen, scale, *dropout)
    return out


class _DroppedAttention(torch.autograd.Function):
    """Saves what the products need, in the layout in which they need it."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        places: Places,
        unseen: Tensor | None,
        scale: float,
        p: float,
        draws: DropoutSource,
    ) -> Tensor:
        num_heads, (rows, longest) = query.shape[1], places.shape
        q, k, v = places.unpack(query).mul_(scale), places.unpack(key), places.unpack(value)
        scores = torch.bmm(q, k.transpose(1, 2)).view(-1, num_heads, longest, longest)
        if unseen is not None:
            scores.add_(unseen)
        weights = scores.softmax(dim=-1)
        mask, share = draws.keep_mask(weights, p), 1.0 / keep_share(p)
        dropped = masked(weights, mask).mul_(share).view(rows, longest, longest)
        ctx.save_for_backward(q, k, v, weights, mask, dropped)
        ctx.constants = (places, scale, share, num_heads)
        return places.pack(torch.bmm(dropped, v), num_heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, mask, dropped = ctx.saved_tensors
        places, scale, share, num_heads = ctx.constants
        grad = places.unpack_with_zeros(grads[0])
        grad_v = torch.bmm(dropped.transpose(1, 2), grad)
        grad_weights = masked(torch.bmm(grad, v.transpose(1, 2)).view(weights.shape), mask).mul_(share)
        grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).view(
            dropped.shape
        )
        grad_q = torch.bmm(grad_scores, k).mul_(scale)
        grad_k = torch.bmm(grad_scores.transpose(1, 2), q)
        packed = (places.pack(x, num_heads).transpose(1, 2) for x in (grad_q, grad_k, grad_v))
        return *packed, None, None, None, None, None
