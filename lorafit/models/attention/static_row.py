"""Packed rows in few different shapes, for compilers: a graph is made for every shape.

A row is padded behind its last token, and in the attention, which pads anyway, examples and their longest are rounded
up. Padding is nobody's example: no token sees it, nothing is drawn for it, and it is cut off again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from lorafit.lora.dropout import DropoutSource
from lorafit.models.attention.packing import PackedRow

_LEAST = 16  # tokens

TreeT = TypeVar("TreeT")


@dataclass(frozen=True)
class StaticRow:
    """`row`, padded to `num_tokens`; in the attention its examples are `shape` = how many, how long.

    `scatter` [num_tokens]: the place of every token there; padding goes to one behind all of them. `mask`
    [examples, 1, 1, longest]: true at real keys, and at the first of examples that are none. A graph must read nothing
    else: what it reads of the row it takes for constant.
    """

    row: PackedRow
    num_tokens: int
    shape: tuple[int, int]
    scatter: Tensor
    mask: Tensor

    @staticmethod
    def around(row: PackedRow) -> StaticRow:
        """The smallest for this row."""
        device, num_real = row.scatter.device, len(row.scatter)
        num_tokens, num_examples = whole_tokens(num_real), _power_of_two(row.num_examples)
        longest = max(_LEAST, _power_of_two(row.longest))
        example, place = row.scatter.div(row.longest, rounding_mode="floor"), row.scatter % row.longest
        behind = num_examples * longest
        scatter = F.pad(example * longest + place, (0, num_tokens - num_real), value=behind)
        lengths = torch.tensor([*row.lengths, *[1] * (num_examples - row.num_examples)], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        return StaticRow(row, num_tokens, (num_examples, longest), scatter, mask[:, None, None])

    # ---- inside a graph

    def unpack(self, x: Tensor) -> Tensor:
        """[1, heads, num_tokens, d] -> [examples, heads, longest, d], zeros where there is no token."""
        tokens, (num_examples, longest) = x[0].transpose(0, 1), self.shape
        padded = tokens.new_zeros(num_examples * longest + 1, *tokens.shape[1:])
        padded = padded.index_copy(0, self.scatter, tokens)[:-1]
        return padded.view(num_examples, longest, *tokens.shape[1:]).transpose(1, 2)

    def pack(self, x: Tensor) -> Tensor:
        """[examples, heads, longest, d] -> [1, num_tokens, heads, d], zeros behind the last token."""
        flat = F.pad(x.transpose(1, 2).flatten(0, 1), (0, 0, 0, 0, 0, 1))
        return flat.index_select(0, self.scatter).unsqueeze(0)

    # ---- around it

    def pad(self, inputs: TreeT) -> TreeT:
        """With every tensor [1, T, ...] padded in tokens, and every mask [n, 1, queries, keys] for the attention."""
        padded: TreeT = pytree.tree_map_only(Tensor, self._pad, inputs)
        return padded

    def cut(self, outputs: TreeT) -> TreeT:
        """With every tensor [1, num_tokens, ...] as long as the row."""
        num_real = len(self.row.scatter)
        cut: TreeT = pytree.tree_map_only(Tensor, lambda y: y[:, :num_real], outputs)
        return cut

    def keep_mask(
        self, source: DropoutSource, shape: Sequence[int], p: float, device: torch.device
    ) -> Tensor:
        """Of tokens [1, num_tokens, ...] or attention weights [examples, heads, longest, keys]; all of padding is kept.

        Keys may begin with those of a prefix.
        """
        if len(shape) == 4 and (shape[0], shape[2]) == self.shape:
            return self._mask_of_weights(source, shape, p, device)
        if tuple(shape[:2]) != (1, self.num_tokens):
            raise ValueError(f"dropout of {list(shape)}, which does not lie by {self.num_tokens} tokens")
        mask, num_real = torch.ones(*shape, dtype=torch.bool, device=device), len(self.row.scatter)
        mask[:, :num_real] = source.keep_mask(mask[:, :num_real], p)
        return mask

    def _mask_of_weights(
        self, source: DropoutSource, shape: Sequence[int], p: float, device: torch.device
    ) -> Tensor:
        """Members are padded each to its own longest when they draw."""
        mask, end = torch.ones(*shape, dtype=torch.bool, device=device), 0
        length = shape[3] - shape[2]  # of a prefix
        for member, row in self.row.members.items() or [(0, self.row)]:
            own = source.of_member(member) if self.row.members else source
            start, end = end, end + row.num_examples
            part = mask[start:end, :, : row.longest, : length + row.longest]
            part.copy_(own.keep_mask(part, p))
        return mask

    def _pad(self, x: Tensor) -> Tensor:
        num_real, (num_examples, longest) = len(self.row.scatter), self.shape
        if x.dtype == torch.bool and x.ndim == 4:
            queries = longest if x.shape[2] > 1 else 1
            missing = (longest - x.shape[3], queries - x.shape[2], num_examples - x.shape[0])
            seen = F.pad(x, (0, missing[0], 0, missing[1], 0, 0, 0, missing[2]))
            seen[..., 0] |= ~seen.any(-1)  # a softmax over nothing is NaN
            return seen
        if x.shape[:2] == (1, num_real):
            return F.pad(x, (0, 0) * (x.ndim - 2) + (0, self.num_tokens - num_real))
        return x


def whole_tokens(num_tokens: int) -> int:
    """The next larger of the lengths of rows, of which there are four in every doubling."""
    grain = max(_LEAST, 1 << max((num_tokens - 1).bit_length() - 3, 0))
    return -(-num_tokens // grain) * grain


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
