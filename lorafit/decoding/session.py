"""One batch on its way through the model: each prompt is read once, then a token per beam and step.

Two ways with the same logits. `TreeSession` puts the beams of an example side by side into one row; the
attention mask tells each which slots of the KV cache are its prompt and its ancestors. Nothing is copied
per beam or reordered: the prompt is there once, beams that fork share their past, and slots without
descendants are dropped from time to time. `ReorderSession` gives every beam a row and a cache of its own,
reordered after every step. It is slower, and right for every architecture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache

from lorafit.decoding.cache import SlotLayer
from lorafit.models import accepted, family_of
from lorafit.models.packing import PACKED_ATTENTION

_OBEY_MASKS = ("sdpa", "eager", PACKED_ATTENTION)


class DecodingSession(Protocol):
    """The logits that a search asks for; a batch has n rows at first and fewer when examples are done."""

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """The logits [n, 1, vocab] after each prompt."""
        ...

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """The logits [m, width, vocab] after one more token per beam; the arguments are those of a `Move`."""
        ...


def open_session(net: PreTrainedModel) -> DecodingSession:
    """The faster way where the architecture allows it, else the one that always works."""
    return TreeSession(net) if beams_can_share_a_row(net) else ReorderSession(net)


def beams_can_share_a_row(net: PreTrainedModel) -> bool:
    """Whether `TreeSession` is right for `net`: its architecture allows it, and its attention obeys masks."""
    config = net.config
    return config._attn_implementation in _OBEY_MASKS and family_of(config).can_share_cache(config)


class TreeSession:
    """The beams of an example share a row: [n, width] tokens a step, all at the same position."""

    def __init__(self, net: PreTrainedModel) -> None:
        self.net = net
        self.layers = [SlotLayer() for _ in range(net.config.num_hidden_layers)]
        self.cache = Cache(layers=[*self.layers])

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """See `DecodingSession`."""
        ids, real = _left_pad(prompts, self.net.device)
        num_slots = ids.shape[1]
        self.visible = real.unsqueeze(1)  # [n, width, slots]: what a beam attends to
        self.length = real.sum(dim=1, keepdim=True)  # [n, 1]: the position of the next token
        itself = torch.eye(num_slots, dtype=torch.bool, device=ids.device)
        causal = itself.new_ones(num_slots, num_slots).tril()
        visible = (causal & self.visible) | itself  # padding sees itself, for a softmax over nothing is NaN
        return self._forward(ids, visible, _positions(real), logits_to_keep=1)

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """See `DecodingSession`."""
        if rows is not None:
            self.visible, self.length = self.visible[rows], self.length[rows]
        self.visible = self.visible.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.visible.shape[-1]))
        if rows is not None or self.layers[0].num_free < tokens.shape[1]:
            self._drop_the_unseen(rows)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(
            len(tokens), -1, -1
        )
        self.visible = torch.cat([self.visible, itself], dim=-1)
        logits = self._forward(tokens, self.visible, self.length.expand_as(tokens))
        self.length = self.length + 1
        return logits

    def _forward(self, ids: Tensor, visible: Tensor, positions: Tensor, **options: Any) -> Tensor:
        mask = torch.zeros(visible.shape, dtype=self.net.dtype, device=visible.device)
        mask.masked_fill_(~visible, -torch.inf)
        logits: Tensor = self.net(
            input_ids=ids,
            attention_mask=mask.unsqueeze(1),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            **options,
        ).logits
        return logits

    def _drop_the_unseen(self, rows: Tensor | None) -> None:
        """Keep the slots that a beam still attends to, in all the rows as many as the fullest of them has."""
        seen = self.visible.any(dim=1)
        num_slots = int(seen.sum(dim=1).max())
        slots = seen.byte().sort(dim=1, descending=True, stable=True).indices[:, :num_slots]
        if rows is None:
            rows = torch.arange(len(slots), device=slots.device)
        for layer in self.layers:
            layer.select(rows, slots)
        self.visible = self.visible.gather(2, slots.unsqueeze(1).expand(-1, self.visible.shape[1], -1))


class ReorderSession:
    """Every beam has a row: [n * width, 1] tokens a step."""

    def __init__(self, net: PreTrainedModel) -> None:
        self.net = net
        self.cache = DynamicCache(config=net.config)
        self.width = 1

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """See `DecodingSession`."""
        ids, real = _left_pad(prompts, self.net.device)
        self.real = real.long()  # [n * width, slots]
        return self._forward(ids, _positions(real))

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """See `DecodingSession`."""
        num_rows, width = tokens.shape
        if rows is None:
            rows = torch.arange(num_rows, device=tokens.device)
        beams = (rows.unsqueeze(1) * self.width + parents).flatten()
        self.cache.reorder_cache(cast(torch.LongTensor, beams))
        self.real = torch.cat([self.real[beams], self.real.new_ones(len(beams), 1)], dim=1)
        self.width = width
        positions = self.real.sum(dim=1, keepdim=True) - 1
        return self._forward(tokens.reshape(-1, 1), positions).view(num_rows, width, -1)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        options = accepted(self.net, position_ids=positions, logits_to_keep=1)
        logits: Tensor = self.net(
            input_ids=ids,
            attention_mask=self.real,
            past_key_values=self.cache,
            use_cache=True,
            **options,
        ).logits
        return logits[:, -1:]


def _left_pad(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The ids [n, longest] with zeros on the left, and which of them are real."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    return ids, torch.arange(longest, device=device) >= longest - lengths.unsqueeze(1)


def _positions(real: Tensor) -> Tensor:
    return (real.cumsum(dim=1) - 1).clamp(min=0)
