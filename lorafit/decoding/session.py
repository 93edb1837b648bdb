"""One batch on its way through the model: each prompt is read once, then a token per beam and step.

Four ways with the same logits. `TreeSession` puts the beams of an example side by side into one row; the
attention mask tells each which slots of the KV cache are its prompt and its ancestors. Nothing is copied
per beam or reordered: the prompt is there once, beams that fork share their past, and slots without
descendants are dropped from time to time. `ReorderSession` gives every beam a row and a cache of its own,
reordered after every step, as transformers does. `SeparateSession` does so for each example on its own, without
padding. `RereadSession` keeps nothing and reads every text again: the slowest, and right for every architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache

from lorafit.decoding.cache import SlotLayer
from lorafit.decoding.search import DecodingSession
from lorafit.decoding.trial import first_right
from lorafit.decoding.vocabulary import VocabularyProduct
from lorafit.models import accepted, family_of, is_proven, take_packed_rows
from lorafit.models.attention.masks import Pattern

Way = Literal["tree", "reorder", "separate", "reread"]
WAYS: tuple[Way, ...] = ("tree", "reorder", "separate", "reread")


def open_session(net: PreTrainedModel, num_members: int = 1) -> DecodingSession:
    """The fastest way that is right for the architecture. ValueError where several members cannot take it together."""
    if beams_can_share_a_row(net):
        return TreeSession(net, num_members)
    if num_members > 1:
        raise ValueError("members can share a net only where beams can share a row")
    return _SLOWER.get(way_to_decode(net.config), ReorderSession)(net)


def beams_can_share_a_row(net: PreTrainedModel) -> bool:
    """Whether `TreeSession` is right for `net`."""
    return way_to_decode(net.config) == "tree"


def way_to_decode(config: PretrainedConfig) -> Way:
    """The fastest way, by what the contract tests have proven or by a trial; that of transformers without one."""
    family = family_of(config)
    if is_proven(family):
        return "tree" if family.positions_and_masks else "reorder"
    found = first_right(family, config, {"tree": TreeSession, **_SLOWER})
    return next((way for way in WAYS if way == found), "reorder")


@dataclass(frozen=True)
class Tree:
    """The texts of a batch that share rows: what a net that takes packed rows is told besides the tokens.

    `visible` [n, width, slots]: what a token attends to. `positions` [n, width] of the tokens, `slot_positions`
    [n, slots] of what the cache will hold; no text is longer than `longest`. `counts` of rows by member, in order,
    where several share the net.
    """

    visible: Tensor
    positions: Tensor
    slot_positions: Tensor
    longest: int
    dtype: torch.dtype
    counts: Sequence[int] = ()

    @property
    def token_counts(self) -> tuple[int, ...]:
        """Tokens of each member."""
        return tuple(count * self.positions.shape[1] for count in self.counts)

    def mask_of(self, pattern: Pattern) -> Tensor:
        """[n, 1, width, slots], to be added to the scores."""
        visible = self.visible.unsqueeze(1)
        if not pattern.is_plain(self.longest):
            rows = torch.arange(len(visible), device=visible.device)
            visible = visible & pattern.at(rows, self.positions, self.slot_positions)
        mask = torch.zeros(visible.shape, dtype=self.dtype, device=visible.device)
        return mask.masked_fill_(~visible, -torch.inf)


class TreeSession:
    """The beams of an example share a row: [n, width] tokens a step, all at the same position.

    Where `num_members` share the net, each has as many of the rows to begin with, one member's behind the other's.
    """

    def __init__(self, net: PreTrainedModel, num_members: int = 1) -> None:
        take_packed_rows(net)
        self.net, self.num_members = net, num_members
        family = family_of(net.config)
        text = family.text_config(net.config)
        head = net.get_output_embeddings()
        is_bare = head is not None and family.has_bare_output(net.config)
        self.product = VocabularyProduct(head) if is_bare else None
        self.layers = [SlotLayer() for _ in range(text.num_hidden_layers)]
        self.cache = Cache(layers=[*self.layers])

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """See `DecodingSession`."""
        ids, real = _left_pad(prompts, self.net.device)
        num_slots = ids.shape[1]
        self.owners = [row * self.num_members // len(prompts) for row in range(len(prompts))]
        self.visible = real.unsqueeze(1)  # [n, width, slots]: what a beam attends to
        self.length = real.sum(dim=1, keepdim=True)  # [n, 1]: the position of the next token
        self.slot_positions = _positions(real)
        self.longest = num_slots
        itself = torch.eye(num_slots, dtype=torch.bool, device=ids.device)
        causal = itself.new_ones(num_slots, num_slots).tril()
        visible = (causal & self.visible) | itself  # padding sees itself, for a softmax over nothing is NaN
        return self._forward(ids, visible, self.slot_positions, last_only=True)

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """See `DecodingSession`."""
        if rows is not None:
            self.visible, self.length = self.visible[rows], self.length[rows]
            self.owners = [self.owners[row] for row in rows.tolist()]
        self.visible = self.visible.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.visible.shape[-1]))
        if rows is not None or self.layers[0].num_free < tokens.shape[1]:
            self._drop_the_unseen(rows)
        itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(
            len(tokens), -1, -1
        )
        self.visible = torch.cat([self.visible, itself], dim=-1)
        positions = self.length.expand_as(tokens)
        self.slot_positions = torch.cat([self.slot_positions, positions], dim=1)
        self.longest += 1
        logits = self._forward(tokens, self.visible, positions)
        self.length = self.length + 1
        return logits

    def _forward(self, ids: Tensor, visible: Tensor, positions: Tensor, *, last_only: bool = False) -> Tensor:
        counts = [self.owners.count(member) for member in range(self.num_members)]
        inputs = {
            "input_ids": ids,
            "position_ids": positions,
            "past_key_values": self.cache,
            "use_cache": True,
            "layout": Tree(visible, positions, self.slot_positions, self.longest, self.net.dtype, counts),
        }
        if self.product is not None:
            hidden: Tensor = self.net.base_model(**inputs).last_hidden_state
            return self.product(hidden[:, -1:] if last_only else hidden)
        logits: Tensor = self.net(**inputs, logits_to_keep=int(last_only)).logits
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
        self.slot_positions = self.slot_positions[rows.unsqueeze(1), slots]
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


class SeparateSession:
    """Every example has a `ReorderSession` of its own."""

    def __init__(self, net: PreTrainedModel) -> None:
        self.net = net

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """See `DecodingSession`."""
        self.sessions = [ReorderSession(self.net) for _ in prompts]
        logits = [session.read([prompt]) for session, prompt in zip(self.sessions, prompts, strict=True)]
        return torch.cat(logits)

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """See `DecodingSession`."""
        if rows is not None:
            self.sessions = [self.sessions[row] for row in rows.tolist()]
        moves = zip(self.sessions, parents.split(1), tokens.split(1), strict=True)
        return torch.cat([session.step(parent, token, None) for session, parent, token in moves])


class RereadSession:
    """Every text is read again at every step, those of an example together: they are of one length."""

    def __init__(self, net: PreTrainedModel) -> None:
        self.net = net
        self.options = accepted(net, use_cache=False, logits_to_keep=1)

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """See `DecodingSession`."""
        self.texts = [torch.tensor([list(prompt)], device=self.net.device) for prompt in prompts]
        return self._forward()

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """See `DecodingSession`."""
        kept = self.texts if rows is None else [self.texts[row] for row in rows.tolist()]
        self.texts = [
            torch.cat([beams[chosen], new[:, None]], dim=1)
            for beams, chosen, new in zip(kept, parents, tokens, strict=True)
        ]
        return self._forward()

    def _forward(self) -> Tensor:
        logits = [self.net(input_ids=beams, **self.options).logits[:, -1] for beams in self.texts]
        return torch.stack(logits)


_SLOWER: dict[str, Callable[[PreTrainedModel], DecodingSession]] = {
    "reorder": ReorderSession,
    "separate": SeparateSession,
    "reread": RereadSession,
}


def _left_pad(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The ids [n, longest] with zeros on the left, and which of them are real."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    return ids, torch.arange(longest, device=device) >= longest - lengths.unsqueeze(1)


def _positions(real: Tensor) -> Tensor:
    return (real.cumsum(dim=1) - 1).clamp(min=0)
