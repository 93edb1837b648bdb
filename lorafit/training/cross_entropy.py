"""Cross-entropy of a language model's output embedding, without ever holding all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lorafit.lora.whole_rows import lacks_rows, whole_rows

_CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MB in float32
_TILE_ELEMENTS = 1 << 19  # of a tile of the vocabulary: 2 MB, so that on a CPU its passes stay in the cache
_MIN_TILE = 1024  # rows of the table, for products of a good size


class FusedCrossEntropy(torch.autograd.Function):
    """cross_entropy_sum(hidden @ weight.T) by chunks of targets or, where these do not fit into one and the weight is
    frozen, by tiles of the vocabulary, so that the weight is read once.

    The gradient of the logits is formed in place while they are there, so memory is one chunk and the backward pass is
    free.  hidden [N, d], weight [V, d], targets [N] -> scalar.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """The sum, with the gradients of both inputs laid by."""
        num_targets, vocab = hidden.shape[0], weight.shape[0]
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        matmul_dtype = (
            torch.get_autocast_dtype(hidden.device.type)
            if torch.is_autocast_enabled(hidden.device.type)
            else weight.dtype
        )
        table = weight.to(matmul_dtype)
        ctx.weight_dtype = weight.dtype
        if num_targets * vocab > _tile_elements(hidden) and not need_weight:
            given = hidden.to(matmul_dtype)
            if lacks_rows(given, table):
                given = whole_rows(given)
            padded = F.pad(targets, (0, len(given) - num_targets))
            losses, grad = _by_tiles(given, table, padded, label_smoothing, need_grad=need_hidden)
            ctx.save_for_backward(None if grad is None else grad[:num_targets].to(hidden.dtype), None)
            return losses[:num_targets].sum()
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        dtype = torch.promote_types(matmul_dtype, torch.float32)
        grad_weight = torch.zeros_like(weight, dtype=dtype) if need_weight else None
        loss = hidden.new_zeros((), dtype=dtype)
        num_chunks = -(-num_targets * vocab // _CHUNK_ELEMENTS)
        chunk = max(
            1, -(-num_targets // max(1, num_chunks))
        )  # of one size: a short one would waste the table's reading
        for start in range(0, num_targets, chunk):
            rows = slice(start, start + chunk)
            h, t = hidden[rows].to(matmul_dtype), targets[rows, None]
            p = (h @ table.T).to(dtype)
            p.sub_(p.amax(dim=-1, keepdim=True))  # logits, of which the largest is 0
            at_target = p.gather(1, t)
            mean = p.mean(dim=-1, keepdim=True) if label_smoothing else 0.0
            z = p.exp_().sum(dim=-1, keepdim=True)
            expected = (1.0 - label_smoothing) * at_target + label_smoothing * mean
            loss += (z.log() - expected).sum()
            if not (need_hidden or need_weight):
                continue
            # z (d loss / d logits) = p - z ((1 - eps) onehot + eps / V), and 1 / z is left to the smaller factor
            if label_smoothing:
                p.sub_(z * (label_smoothing / vocab))
            p.scatter_add_(1, t, z * (label_smoothing - 1.0))
            grad = p.to(matmul_dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = (grad @ table) / z
            if grad_weight is not None:
                grad_weight.add_(grad.T @ (h / z).to(matmul_dtype))
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """The gradients laid by, scaled."""
        grad_hidden, grad_weight = ctx.saved_tensors
        if grad_hidden is not None:
            grad_hidden = grad_hidden * grad_loss.to(grad_hidden.dtype)
        if grad_weight is not None:
            grad_weight = (grad_weight * grad_loss).to(ctx.weight_dtype)
        return grad_hidden, grad_weight, None, None


def _by_tiles(
    hidden: Tensor, table: Tensor, targets: Tensor, label_smoothing: float, *, need_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """The terms of the sum [N], and its gradient by hidden [N, d], at least in float32, where it is needed.

    For every target it holds the greatest logit so far, and sums of exp(logit - greatest), with and without the rows of
    the table as factors; where a greater one comes, they shrink.
    """
    (num_targets, width), vocab = hidden.shape, len(table)
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    tile = max(_MIN_TILE, _tile_elements(hidden) // num_targets)
    top = hidden.new_full((num_targets, 1), -torch.inf, dtype=dtype)
    z, at_target, total = (torch.zeros_like(top) for _ in range(3))
    pulled = hidden.new_zeros(num_targets, width, dtype=dtype)
    mean_row = hidden.new_zeros(width, dtype=dtype)
    for start in range(0, vocab, tile):
        rows = table[start : start + tile]
        logits = (hidden @ rows.T).to(dtype)
        place = targets[:, None] - start
        is_here = (place >= 0) & (place < len(rows))
        at_target = torch.where(is_here, logits.gather(1, place.clamp(0, len(rows) - 1)), at_target)
        if label_smoothing:
            total += logits.sum(dim=1, keepdim=True)
            mean_row += rows.sum(dim=0, dtype=dtype) / vocab
        greatest = torch.maximum(top, logits.amax(dim=1, keepdim=True))
        p, shrinking = logits.sub_(greatest).exp_(), (top - greatest).exp_()
        z.mul_(shrinking).add_(p.sum(dim=1, keepdim=True))
        if need_grad:
            pulled.mul_(shrinking).add_(p.to(table.dtype) @ rows)
        top = greatest
    expected = (1.0 - label_smoothing) * at_target + label_smoothing * total / vocab
    losses = (top + z.log() - expected)[:, 0]
    if not need_grad:
        return losses, None
    pulled.div_(z).sub_(table[targets], alpha=1.0 - label_smoothing).sub_(mean_row, alpha=label_smoothing)
    return losses, pulled


def _tile_elements(hidden: Tensor) -> int:
    return _TILE_ELEMENTS if hidden.device.type == "cpu" else _CHUNK_ELEMENTS
