"""Attention over several examples that lie end to end in one row: each attends to itself alone.

A row of T real tokens replaces a padded batch, so that no matrix product touches padding. The attention itself, which
is a small share of the work, pads inside: on [num_examples, heads, longest, head_dim].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lorafit.lora.dropout import dropout as drop

PACKED_ATTENTION = "lorafit_packed"


@dataclass(frozen=True)
class PackedRow:
    """Where each example lies in the row.

    `scatter` [T]: the place of every token in the padded [num_examples * longest] layout.
    `mask` [num_examples, 1, 1, longest]: true at real keys, or None where every example is as long as the longest.
    """

    scatter: Tensor
    mask: Tensor | None
    num_examples: int
    longest: int

    @staticmethod
    def of(lengths: list[int], device: torch.device) -> PackedRow:
        """The layout of examples of the given lengths, in order."""
        longest = max(lengths)
        place = [i * longest + t for i, length in enumerate(lengths) for t in range(length)]
        mask = None
        if min(lengths) < longest:
            real = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
            mask = real[:, None, None, :].to(device)
        return PackedRow(torch.tensor(place, device=device), mask, len(lengths), longest)

    def unpack(self, x: Tensor) -> Tensor:
        """[1, heads, T, d] -> [num_examples, heads, longest, d], zeros where there is no token."""
        heads, width = x.shape[1], x.shape[3]
        padded = x.new_zeros(self.num_examples * self.longest, heads, width)
        padded = padded.index_copy(0, self.scatter, x[0].transpose(0, 1))
        return padded.view(self.num_examples, self.longest, heads, width).transpose(1, 2)

    def pack(self, x: Tensor) -> Tensor:
        """[num_examples, heads, longest, d] -> [1, T, heads, d]."""
        flat = x.transpose(1, 2).reshape(self.num_examples * self.longest, x.shape[1], x.shape[3])
        return flat.index_select(0, self.scatter).unsqueeze(0)


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
    packed_row: PackedRow | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Block-diagonal attention for transformers' AttentionInterface: [1, heads, T, d] -> ([1, T, heads, d], None).

    Causal models need no key mask: a real token never sees the padding behind it. Without `packed_row` this is
    transformers' own SDPA attention, so a net that can take packed rows still takes ordinary batches. In either case
    a module's AttentionPrefix is seen by every token, and the KV cache, where there is one, knows nothing of it.
    Dropout is drawn from the module's `draws` (`lora.draw_from`), which torch's SDPA cannot do.
    """
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    prefix: Tensor | None = module.prefix() if hasattr(module, "prefix") else None  # type: ignore[operator]
    mask = attention_mask
    if packed_row is not None:
        query, key, value = (packed_row.unpack(x) for x in (query, key, value))
        mask = None if causal else packed_row.mask
    if prefix is not None:
        key, value, mask = _after_prefix(prefix, query, key, value, mask, causal)
    if dropout:
        weights = _attention_weights(query, key, mask, scaling, causal and prefix is None)
        weights = drop(weights, dropout, getattr(module, "draws", None))
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
            is_causal=causal and prefix is None,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
    return out.transpose(1, 2) if packed_row is None else packed_row.pack(out), None


def _attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None, scaling: float | None, causal: bool
) -> Tensor:
    """softmax(q k^T s) [n, heads, queries, keys], zero where `mask` is false or, without one, where a key comes later.

    A `mask` of numbers is added to the scores. A query that sees no key at all gets some finite weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scale) @ _for_heads(key, query.shape[1]).transpose(-1, -2)
    if mask is None and causal and query.shape[2] > 1:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        unseen = torch.finfo(scores.dtype).min
        mask = torch.zeros(mask.shape, dtype=scores.dtype, device=mask.device).masked_fill_(~mask, unseen)
    return (scores if mask is None else scores + mask).softmax(dim=-1)


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


def packed_mask(
    q_length: int, kv_length: int, attention_mask: Tensor | None = None, **kwargs: Any
) -> Tensor | None:
    """No mask where none is needed: a packed row brings its layout along; rows without padding are plainly causal."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs)


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, packed_mask)


def take_packed_rows(net: PreTrainedModel) -> None:
    """Let `net` be called with `packed_row=` and restarted `position_ids`, besides ordinary batches."""
    net.set_attn_implementation(PACKED_ATTENTION)
