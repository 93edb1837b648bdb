"""Losses as sums over targets. Of a language model, computed only at the tokens that have a target."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lorafit.data.batches import SequenceBatch
from lorafit.models import accepted, family_of
from lorafit.models.packing import PackedRow

_CHUNK_ELEMENTS = 1 << 23  # logits held at once: 32 MB in float32


def language_model_loss_sums(
    net: PreTrainedModel, batch: SequenceBatch, label_smoothing: Sequence[float]
) -> Tensor:
    """[members]: the sum over a member's targets of (1 - eps) nll + eps mean_vocab(-log p) (paper's model.py).

    `label_smoothing`: eps of each member. A net that is given packed rows must `take_packed_rows`.
    """
    is_bare = family_of(net.config).has_bare_output(net.config)
    states = _states(net, batch, is_bare=is_bare)
    loss_sum = partial(_loss_sum, net) if is_bare else cross_entropy_sum
    at_targets = states.flatten(0, 1).index_select(0, batch.target_places)
    ends = itertools.accumulate(batch.num_targets)
    stretches = [slice(end - count, end) for count, end in zip(batch.num_targets, ends, strict=True)]
    return torch.stack(
        [
            loss_sum(at_targets[rows] if len(stretches) > 1 else at_targets, batch.targets[rows], epsilon)
            for rows, epsilon in zip(stretches, label_smoothing, strict=True)
        ]
    )


def _states(net: PreTrainedModel, batch: SequenceBatch, *, is_bare: bool) -> Tensor:
    """What the backbone gives for every token, or the logits: [1, T, d] or [n, longest, d]."""

    def read(input_ids: Tensor, **inputs: object) -> Tensor:
        options = accepted(net, use_cache=False)
        if is_bare:
            states: Tensor = net.base_model(input_ids=input_ids, **inputs, **options).last_hidden_state
            return states
        logits: Tensor = net(input_ids=input_ids, **inputs, **options).logits
        return logits

    if batch.position_ids is not None:
        row = PackedRow.of(batch.lengths, batch.input_ids.device)
        return read(batch.input_ids, position_ids=batch.position_ids, packed_row=row)
    if batch.attention_mask is not None:
        return read(batch.input_ids, attention_mask=batch.attention_mask)
    alone = [read(ids[None, :length])[0] for ids, length in zip(batch.input_ids, batch.lengths, strict=True)]
    return nn.utils.rnn.pad_sequence(alone, batch_first=True)


def _loss_sum(net: PreTrainedModel, hidden: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """hidden [N, d], targets [N] -> scalar."""
    head = net.get_output_embeddings()
    if type(head) is nn.Linear and head.bias is None:  # and without an adapter
        loss: Tensor = FusedCrossEntropy.apply(hidden, head.weight, targets, label_smoothing)
        return loss
    return cross_entropy_sum(head(hidden), targets, label_smoothing)


def cross_entropy_sum(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """logits [N, V], targets [N] -> scalar sum. The plain form of FusedCrossEntropy."""
    log_p = logits.float().log_softmax(dim=-1)
    nll = -log_p.gather(1, targets[:, None]).squeeze(1)
    return ((1.0 - label_smoothing) * nll - label_smoothing * log_p.mean(dim=-1)).sum()


def label_loss_sum(outputs: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of outputs [n, classes], or squared error of outputs [n, 1]; labels [n] float -> scalar sum."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0].float() - labels).square().sum()
    return cross_entropy_sum(outputs, labels.long(), label_smoothing)


def label_loss_sums(
    outputs: Tensor, labels: Tensor, counts: Sequence[int], label_smoothing: Sequence[float]
) -> Tensor:
    """[members]: label_loss_sum of each member's `counts` examples."""
    parts = zip(outputs.split(list(counts)), labels.split(list(counts)), label_smoothing, strict=True)
    return torch.stack([label_loss_sum(*part) for part in parts])


class FusedCrossEntropy(torch.autograd.Function):
    """cross_entropy_sum(hidden @ weight.T) without ever holding all logits.

    The gradient of a chunk's logits is formed in place while they are there (it does not depend on what comes later
    but for one factor), so memory is one chunk and the backward pass is free.
    hidden [N, d], weight [V, d], targets [N] -> scalar.
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
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        loss = hidden.new_zeros((), dtype=torch.float32)
        num_chunks = -(-num_targets * vocab // _CHUNK_ELEMENTS)
        chunk = max(
            1, -(-num_targets // max(1, num_chunks))
        )  # of one size: a short one would waste the table's reading
        for start in range(0, num_targets, chunk):
            rows = slice(start, start + chunk)
            h, t = hidden[rows].to(matmul_dtype), targets[rows, None]
            p = (h @ table.T).float()
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
        ctx.weight_dtype = weight.dtype
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
