"""Losses as sums over targets. Of a language model, computed only at the tokens that have a target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from lorafit.data.batches import SequenceBatch
from lorafit.models import accepted, family_of
from lorafit.models.attention.packing import PackedRow
from lorafit.training.cross_entropy import FusedCrossEntropy


def language_model_loss_sums(
    net: PreTrainedModel,
    batch: SequenceBatch,
    label_smoothing: Sequence[float],
    num_targets: Sequence[int] | None = None,
) -> Tensor:
    """[members]: the sum over a member's targets of (1 - eps) nll + eps mean_vocab(-log p) (paper's model.py).

    `label_smoothing`: eps of each member. `num_targets`: of stretches of the batch, each of which is summed in place of
    a member. A net that is given packed rows must `take_packed_rows`.
    """
    is_bare = family_of(net.config).has_bare_output(net.config)
    states = _states(net, batch, is_bare=is_bare)
    loss_sum = partial(_loss_sum, net) if is_bare else cross_entropy_sum
    at_targets = states.flatten(0, 1).index_select(0, batch.target_places)
    sizes = list(batch.num_targets if num_targets is None else num_targets)
    stretches = [(at_targets, batch.targets)]
    if len(sizes) > 1:
        stretches = list(zip(at_targets.split(sizes), batch.targets.split(sizes), strict=True))
    return torch.stack(
        [
            loss_sum(*stretch, epsilon) if size or len(sizes) == 1 else states.new_zeros(())
            for stretch, size, epsilon in zip(stretches, sizes, label_smoothing, strict=True)
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
        row = PackedRow.of(batch.lengths, batch.input_ids.device, batch.counts)
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
    log_p = _wide(logits).log_softmax(dim=-1)
    nll = -log_p.gather(1, targets[:, None]).squeeze(1)
    return ((1.0 - label_smoothing) * nll - label_smoothing * log_p.mean(dim=-1)).sum()


def label_loss_sum(
    outputs: Tensor, labels: Tensor, label_smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """The loss of outputs [n, classes], summed over n -> scalar.

    labels [n]: cross-entropy or, of outputs [n, 1], squared error. labels [n, classes] of 1 and 0: the mean over the
    classes of binary cross-entropy, as transformers' "multi_label_classification". `weights` [classes]: torch's
    `weight` of cross-entropy, and `pos_weight` of binary.
    """
    if labels.ndim == 2:
        smooth = labels * (1.0 - label_smoothing) + label_smoothing / 2
        each = F.binary_cross_entropy_with_logits(
            _wide(outputs), smooth, pos_weight=weights, reduction="none"
        )
        return each.mean(dim=1).sum()
    if outputs.shape[1] == 1:
        return (_wide(outputs)[:, 0] - labels).square().sum()
    if weights is not None:
        return F.cross_entropy(
            _wide(outputs), labels.long(), weights, reduction="sum", label_smoothing=label_smoothing
        )
    return cross_entropy_sum(outputs, labels.long(), label_smoothing)


def label_loss_sums(
    outputs: Tensor,
    labels: Tensor,
    counts: Sequence[int],
    label_smoothing: Sequence[float],
    weights: Tensor | None = None,
) -> Tensor:
    """[members]: label_loss_sum of each member's `counts` examples."""
    parts = zip(outputs.split(list(counts)), labels.split(list(counts)), label_smoothing, strict=True)
    return torch.stack([label_loss_sum(*part, weights) for part in parts])


def _wide(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
