"""Attention over several examples that lie end to end in one row: each attends to itself alone.

A row of T real tokens replaces a padded batch, so that no matrix product touches padding. The attention itself, which
is a small share of the work, pads inside: on [num_examples, heads, longest, head_dim].
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lorafit.lora.dropout import DropoutSource
from lorafit.lora.dropout import dropout as drop
from lorafit.models.attention.dropped_attention import Places, dropped_attention, plain
from lorafit.models.attention.masks import Pattern, follow_layouts, packed_mask

PACKED_ATTENTION = "lorafit_packed"
PRODUCTS_UP_TO = {torch.bfloat16: 512, torch.float16: 512}
"""Keys up to which plain products train faster than the kernel on a CPU (scripts/bench/attention.py measures it)."""


@dataclass(frozen=True)
class PackedRow:
    """Where each example lies in the row.

    `scatter` [T]: the place of every token in the padded [num_examples * longest] layout; `gaps`: the places without.
    `mask` [num_examples, 1, 1, longest]: true at real keys, or None where every example is as long as the longest.
    `counts`: how many examples each member has, in order, where several share the row; `members`: the row of each that
    has any, by its number.
    """

    scatter: Tensor
    gaps: Tensor
    mask: Tensor | None
    lengths: tuple[int, ...]
    longest: int
    counts: tuple[int, ...] = ()
    members: Mapping[int, PackedRow] = field(default_factory=dict)
    _places: dict[int, Places] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(lengths: Sequence[int], device: torch.device, counts: Sequence[int] = ()) -> PackedRow:
        """The layout of examples of the given lengths, in order; `counts` of them belong to each member."""
        longest = max(lengths)
        real = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
        places, gaps = (which.flatten().nonzero()[:, 0].to(device) for which in (real, ~real))
        mask = real[:, None, None, :].to(device) if len(gaps) else None
        ends = list(itertools.accumulate(counts))
        own = {i: lengths[end - n : end] for i, (n, end) in enumerate(zip(counts, ends, strict=True)) if n}
        members = {i: PackedRow.of(each, device) for i, each in own.items()} if len(own) > 1 else {}
        return PackedRow(places, gaps, mask, tuple(lengths), longest, tuple(counts), members)

    @property
    def token_counts(self) -> tuple[int, ...]:
        """Tokens of each member."""
        ends = list(itertools.accumulate(self.counts))
        return tuple(sum(self.lengths[end - n : end]) for n, end in zip(self.counts, ends, strict=True))

    @property
    def num_examples(self) -> int:
        return len(self.lengths)

    def mask_of(self, pattern: Pattern) -> Tensor | None:
        """Which keys a query sees, [num_examples, 1, longest, longest]; None where that is all, or all up to itself.

        What stands behind an example's end sees what its last token sees: a softmax over nothing is NaN.
        """
        if pattern.is_plain(self.longest):
            return None
        lengths = torch.tensor(self.lengths, device=self.scatter.device)[:, None]
        starts = lengths.cumsum(0) - lengths
        places = starts + torch.arange(self.longest, device=lengths.device).minimum(lengths - 1)
        seen = pattern.at(torch.zeros_like(lengths[:, 0]), places, places)
        return seen if self.mask is None else seen & self.mask

    def places(self, num_heads: int) -> Places:
        """Where the heads of a token lie, for rows of heads instead of tokens."""
        if num_heads not in self._places:
            self._places[num_heads] = Places.of(self.scatter, self.num_examples, self.longest, num_heads)
        return self._places[num_heads]

    def seen(self, mask: Tensor | None, causal: bool) -> Tensor | None:
        """[n, 1, 1 or longest, longest], true where a query sees a key, given what `packed_mask` gave; None: all."""
        if mask is None and causal:
            return torch.ones(self.longest, self.longest, dtype=torch.bool, device=self.scatter.device).tril()
        return self.mask if mask is None else mask

    def unpack(self, x: Tensor) -> Tensor:
        """[1, heads, T, d] -> [num_examples, heads, longest, d], zeros where there is no token."""
        padded: Tensor = _Spread.apply(x.squeeze(0).transpose(0, 1), self)
        return padded.view(self.num_examples, self.longest, *padded.shape[1:]).transpose(1, 2)

    def pack(self, x: Tensor) -> Tensor:
        """[num_examples, heads, longest, d] -> [1, T, heads, d]."""
        flat = x.transpose(1, 2).reshape(self.num_examples * self.longest, x.shape[1], x.shape[3])
        packed: Tensor = _Gather.apply(flat, self)
        return packed.unsqueeze(0)


class _Spread(torch.autograd.Function):
    """Tokens [T, heads, d] to their places [num_examples * longest, heads, d], in one pass each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, row: PackedRow) -> Tensor:
        ctx.row = row
        padded = x.new_empty(row.num_examples * row.longest, *x.shape[1:])
        return padded.index_copy_(0, row.scatter, x).index_fill_(0, row.gaps, 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(grads[0], ctx.row), None


class _Gather(torch.autograd.Function):
    """The other way: what stands at the places of tokens."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, row: PackedRow) -> Tensor:
        ctx.row = row
        return x.index_select(0, row.scatter)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(grads[0], ctx.row), None


class Row(Protocol):
    """What attention asks of a row: see PackedRow and StaticRow."""

    @property
    def mask(self) -> Tensor | None: ...

    def unpack(self, x: Tensor) -> Tensor: ...

    def pack(self, x: Tensor) -> Tensor: ...


class AttentionPrefix(Protocol):
    """Keys and values that every token sees besides those of its own text.

    An attention module that has one holds it as its attribute `prefix`.
    """

    def __call__(self) -> Tensor | None:
        """Keys and values [2, key-value heads, length, head_dim], or None where there are none at present."""
        ...


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed_row: Row | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Block-diagonal attention for transformers' AttentionInterface: [1, heads, T, d] -> ([1, T, heads, d], None).

    `attention_mask` is what `packed_mask` gave. Plainly causal models need none: a real token never sees the padding
    behind it. Without `packed_row` this is transformers' own SDPA attention, so a net that can take packed rows still
    takes ordinary batches. In either case a module's AttentionPrefix is seen by every token, and the KV cache, where
    there is one, knows nothing of it. Dropout is drawn from the module's `draws` (`lora.draw_from`). That, scores that
    are capped at `softcap`, and sinks [heads] (`s_aux`) are what torch's SDPA cannot do. Members that share the row
    attend each by itself, padded to its own longest example, and with its own draws.
    """
    draws: DropoutSource | None = getattr(module, "draws", None)
    if not isinstance(packed_row, PackedRow) or not packed_row.members:
        return _attention(
            module, query, key, value, attention_mask, draws=draws, packed_row=packed_row, **kwargs
        )
    members = packed_row.members
    sizes = [row.scatter.shape[0] for row in members.values()]
    heads = zip(*(x.split(sizes, 2) for x in (query, key, value)), strict=True)
    counts = [row.num_examples for row in members.values()]
    masks = [None] * len(counts) if attention_mask is None else attention_mask.split(counts)
    outs = []
    for (i, row), (q, k, v), mask in zip(members.items(), heads, masks, strict=True):
        own = None if mask is None else mask[:, :, : row.longest, : row.longest]
        source = None if draws is None else draws.of_member(i)
        outs.append(_attention(module, q, k, v, own, draws=source, packed_row=row, **kwargs)[0])
    return torch.cat(outs, 1), None


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    draws: DropoutSource | None,
    packed_row: Row | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """`packed_attention` of one member."""
    causal = bool(getattr(module, "is_causal", True)) if is_causal is None else is_causal
    prefix: Tensor | None = module.prefix() if hasattr(module, "prefix") else None  # type: ignore[operator]
    mask = attention_mask
    has_extras = prefix is not None or softcap is not None or s_aux is not None
    is_plain = not has_extras and plain(query, key)
    if isinstance(packed_row, PackedRow) and dropout and draws is not None and is_plain:
        seen = packed_row.seen(mask, causal)
        return dropped_attention(
            query, key, value, packed_row.places(query.shape[1]), seen, scaling, (dropout, draws)
        ), None
    if packed_row is not None:
        query, key, value = (packed_row.unpack(x) for x in (query, key, value))
        mask = packed_row.mask if mask is None and not causal else mask
    if prefix is not None:
        key, value, mask = _after_prefix(prefix, query, key, value, mask, causal)
    causal = causal and mask is None and prefix is None
    if dropout or softcap is not None or s_aux is not None or _products_are_faster(query, key):
        weights = _attention_weights(query, key, mask, scaling, causal, softcap, s_aux)
        if dropout:
            weights = drop(weights, dropout, draws)
        out = weights @ _for_heads(value, query.shape[1])
    elif packed_row is None:
        return sdpa_attention_forward(
            module, query, key, value, mask, 0.0, scaling, is_causal=is_causal, **kwargs
        )
    else:
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=causal,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
    return out.transpose(1, 2) if packed_row is None else packed_row.pack(out), None


def _products_are_faster(query: Tensor, key: Tensor) -> bool:
    """Whether softmax(q k^T) v in plain products trains faster than torch's kernel.

    On CPUs the backward pass of the kernel is slow in 16 bits, on short texts by three times and more. In float32 it
    costs the same, so there the kernel stays.
    """
    on_cpu = query.device.type == "cpu"
    return on_cpu and torch.is_grad_enabled() and key.shape[2] <= PRODUCTS_UP_TO.get(query.dtype, 0)


def _attention_weights(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    causal: bool,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """softmax(q k^T s) [n, heads, queries, keys], zero where `mask` is false or, if `causal`, where a key comes later.

    A `mask` of numbers is added to the scores. A query that sees no key at all gets some finite weights. With `softcap`
    c the scores are c tanh(q k^T s / c); `sinks` [heads] are scores of a key without a value.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scale) @ _for_heads(key, query.shape[1]).transpose(-1, -2)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    if causal and query.shape[2] > 1:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        unseen = torch.finfo(scores.dtype).min
        mask = torch.zeros(mask.shape, dtype=scores.dtype, device=mask.device).masked_fill_(~mask, unseen)
    if mask is not None:
        scores = scores.add_(mask)
    if sinks is None:
        return scores.softmax(dim=-1)
    sunk = sinks.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
    return torch.cat([scores, sunk], dim=-1).softmax(dim=-1)[..., :-1]


def _for_heads(x: Tensor, num_heads: int) -> Tensor:
    """Keys or values [n, groups, t, d], each group repeated for the query heads that share it."""
    return x if x.shape[1] == num_heads else x.repeat_interleave(num_heads // x.shape[1], dim=1)


def _after_prefix(
    prefix: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values [n, heads, t, d] behind those of the prefix, and the mask for them.

    `mask` [n or 1, 1, queries, t] is true, or 0, where a query sees a key; None means all, or all up to itself.
    """
    num_queries, length = query.shape[2], prefix.shape[2]
    if mask is None and causal and num_queries > 1:
        mask = query.new_ones(num_queries, num_queries, dtype=torch.bool).tril()
    if mask is not None:
        mask = F.pad(mask, (length, 0), value=1.0 if mask.dtype == torch.bool else 0.0)
    prefix_key, prefix_value = prefix.to(key.dtype).unsqueeze(1).expand(-1, len(key), -1, -1, -1)
    return torch.cat([prefix_key, key], dim=2), torch.cat([prefix_value, value], dim=2), mask


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, packed_mask)


def take_packed_rows(net: PreTrainedModel) -> None:
    """Let `net` be called with `packed_row=` and restarted `position_ids`, besides ordinary batches."""
    if net.config._attn_implementation != PACKED_ATTENTION:
        net.set_attn_implementation(PACKED_ATTENTION)
    follow_layouts(net.base_model)
