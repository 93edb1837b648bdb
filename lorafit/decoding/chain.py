"""Greedy decoding and sampling: one continuation per prompt, chosen a token at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from lorafit.decoding.search import Move, ban_repeated_ngrams


@dataclass(frozen=True)
class Greedy:
    """The likeliest token every time."""

    one_by_one: ClassVar[bool] = True

    no_repeat_ngram_size: int = 0
    max_new_tokens: int = 64
    eos_token_ids: tuple[int, ...] = (50256,)

    def begin(self, examples: Sequence[int], device: torch.device) -> Chains:
        """The search for one batch, of which row i is example `examples[i]`."""
        return Chains(self, examples, torch.zeros(len(examples), self.max_new_tokens, device=device))

    def choose(self, logits: Tensor, _draws: Tensor) -> Tensor:
        """logits [n, vocab] -> tokens [n]."""
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class Sample:
    """A token at random, in proportion to p ** (1 / temperature), out of the likeliest that make up `top_p`.

    The nucleus is the smallest set of likeliest tokens whose probabilities reach `top_p` (Holtzman et al.
    2020). What is drawn for an example depends on `seed` and the example's number alone, not on its batch; `first` is
    the number of the example with index 0.
    """

    one_by_one: ClassVar[bool] = True

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    no_repeat_ngram_size: int = 0
    max_new_tokens: int = 64
    eos_token_ids: tuple[int, ...] = (50256,)
    first: int = 0

    def begin(self, examples: Sequence[int], device: torch.device) -> Chains:
        """The search for one batch, of which row i is example `examples[i]`."""
        draws = torch.stack([self._uniform(example) for example in examples])
        return Chains(self, examples, draws.to(device))

    def _uniform(self, example: int) -> Tensor:
        digest = hashlib.blake2b(f"{self.seed} {self.first + example}".encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
        return torch.rand(self.max_new_tokens, generator=generator)

    def choose(self, logits: Tensor, draws: Tensor) -> Tensor:
        """Invert the distribution function. logits [n, vocab], draws [n] uniform in [0, 1) -> tokens [n]."""
        probabilities = (logits.float() / self.temperature).softmax(dim=-1)
        probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        mass = (probabilities * (before < self.top_p)).cumsum(dim=-1)
        choice = (mass <= draws.unsqueeze(-1) * mass[:, -1:]).sum(dim=-1, keepdim=True)
        return tokens.gather(-1, choice.clamp(max=tokens.shape[-1] - 1)).squeeze(-1)


class Chooser(Protocol):
    """What `Chains` needs of its options."""

    @property
    def no_repeat_ngram_size(self) -> int: ...
    @property
    def max_new_tokens(self) -> int: ...
    @property
    def eos_token_ids(self) -> tuple[int, ...]: ...
    def choose(self, logits: Tensor, draws: Tensor, /) -> Tensor: ...


class Chains:
    """The continuations of a batch of n examples; `draws` [n, max_new_tokens] are their random numbers."""

    def __init__(self, options: Chooser, examples: Sequence[int], draws: Tensor) -> None:
        self.options = options
        self.examples = list(examples)
        self.draws = draws
        self.eos = torch.tensor(options.eos_token_ids, dtype=torch.long, device=draws.device)
        self.history = torch.empty(len(examples), 0, dtype=torch.long, device=draws.device)

    def advance(self, logits: Tensor) -> Move:
        """Add one token to every chain. logits [n, 1, vocab], changed in place, are for the last move."""
        num_steps = self.history.shape[-1]
        logits = logits.squeeze(1)
        ban_repeated_ngrams(logits, self.history, self.options.no_repeat_ngram_size)
        tokens = self.options.choose(logits, self.draws[:, num_steps])
        self.history = torch.cat([self.history, tokens.unsqueeze(-1)], dim=-1)
        ended = torch.isin(tokens, self.eos).tolist()  # the one wait for the device in a step
        if num_steps + 1 == self.options.max_new_tokens:
            ended = [True] * len(ended)
        finished = tuple(
            (self.examples[row], self.history[row].tolist()) for row, end in enumerate(ended) if end
        )
        rows = self._keep([row for row, end in enumerate(ended) if not end]) if finished else None
        tokens = self.history[:, -1:]
        return Move(torch.zeros_like(tokens), tokens, rows, finished)

    def _keep(self, going_on: list[int]) -> Tensor:
        """Let go of all rows but these; gives them as a tensor."""
        rows = torch.tensor(going_on, dtype=torch.long, device=self.history.device)
        self.examples = [self.examples[row] for row in going_on]
        self.draws, self.history = self.draws[rows], self.history[rows]
        return rows
