"""The logits of a few hidden states over a whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BLOCK = 256  # tokens of the vocabulary in one product
_FEW = 64  # states, up to which it is faster so


class VocabularyProduct:
    """The output embedding times hidden states, in a buffer that the next call fills anew.

    On a CPU the product of a large table with few columns takes three quarters of the time of the usual one, whose
    table is laid out anew at every call. So for few states the vocabulary comes first in memory, block by block.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head = head
        self.buffer = torch.empty(0)

    def __call__(self, hidden: Tensor) -> Tensor:
        """hidden [n, width, d] -> logits [n, width, vocab]."""
        head = self.head
        is_bare = type(head) is nn.Linear and head.bias is None  # and without an adapter
        is_single = hidden.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not (is_bare and is_single and hidden.device.type == "cpu"):
            logits: Tensor = head(hidden)
            return logits
        weight, states = head.get_parameter("weight"), hidden.flatten(0, 1)
        size = len(states) * len(weight)
        if self.buffer.numel() < size:
            self.buffer = hidden.new_empty(size)
        if len(states) > _FEW:
            out = torch.mm(states, weight.T, out=self.buffer[:size].view(len(states), -1))
        else:
            out = _vocabulary_first(weight, states, self.buffer[:size].view(-1, len(states))).T
        return out.view(*hidden.shape[:2], len(weight))


def _vocabulary_first(weight: Tensor, states: Tensor, out: Tensor) -> Tensor:
    """weight [vocab, d] times states [n, d], into out [vocab, n]."""
    columns, num_blocks = states.T.contiguous(), len(weight) // _BLOCK
    whole = num_blocks * _BLOCK
    blocks = weight[:whole].view(num_blocks, _BLOCK, weight.shape[1])
    torch.bmm(
        blocks, columns.expand(num_blocks, -1, -1), out=out[:whole].view(num_blocks, _BLOCK, len(states))
    )
    torch.mm(weight[whole:], columns, out=out[whole:])
    return out
