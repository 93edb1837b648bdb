"""What a search tells the model to compute next, and the rules that all searches share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Move:
    """One token further: who is done, and what the model has to read next.

    Of the n rows of the batch the `rows` [m] go on (None: all of them). In each, beam j continues the beam
    `parents[i, j]` of the last pass with the token `tokens[i, j]`; both are [m, width].
    """

    parents: Tensor
    tokens: Tensor
    rows: Tensor | None = None
    finished: tuple[tuple[int, list[int]], ...] = ()  # (example, generated ids)


class Search(Protocol):
    """The running state of one batch."""

    def advance(self, logits: Tensor) -> Move: ...


def ban_repeated_ngrams(logits: Tensor, history: Tensor, size: int) -> None:
    """Set to -inf, in place, every token that would complete an n-gram that `history` already holds.

    logits [..., vocab]; history [..., t] holds generated tokens alone, so what the prompt says may be
    repeated. `size` 0 bans nothing.  (Paulus et al. 2017)
    """
    length = history.shape[-1]
    if size == 0 or length < size:
        return
    ngrams = history.unfold(-1, size, 1)  # [..., t - size + 1, size]
    tail = history[..., length - size + 1 :].unsqueeze(-2)
    repeated = (ngrams[..., :-1] == tail).all(dim=-1)
    penalty = torch.zeros_like(repeated, dtype=logits.dtype).masked_fill_(repeated, -torch.inf)
    logits.scatter_add_(
        -1, ngrams[..., -1], penalty
    )  # adds 0 where nothing repeats: no sync to find out where
