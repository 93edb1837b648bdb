"""What a search tells the model to compute next, and the rules that all searches share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_BLOCK = 256  # tokens of which only the greatest is looked at first
_AT_ONCE = 1 << 19  # logits that stay in the caches of a core


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


class DecodingSession(Protocol):
    """The logits that a search asks for; a batch has n rows at first and fewer when examples are done."""

    def read(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """The logits [n, 1, vocab] after each prompt."""
        ...

    def step(self, parents: Tensor, tokens: Tensor, rows: Tensor | None) -> Tensor:
        """The logits [m, width, vocab] after one more token per beam; the arguments are those of a `Move`."""
        ...


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
    last = ngrams[..., -1]  # a token may end several, of which one is repeated
    banned = ((last.unsqueeze(-1) == last.unsqueeze(-2)) & repeated.unsqueeze(-2)).any(dim=-1)
    # All are written, banned or not: to find out which costs a GPU a stop. In 16 bits `scatter_` copies all logits.
    places = torch.meshgrid(*(torch.arange(n, device=logits.device) for n in last.shape), indexing="ij")[:-1]
    logits[(*places, last)] = logits.gather(-1, last).masked_fill_(banned, -torch.inf)


def best_continuations(logits: Tensor, sums: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` greatest of sums + log_softmax(logits) among all beams of a row, greatest first.

    logits [n, width, vocab], sums [n, width] -> values [n, count] in float32, and beam * vocab + token [n, count].
    Each beam's best come from the logits; of the rest only the sum of exponentials is asked, in pieces that a
    cache holds. The vocabulary may lie first or last in memory.
    """
    num_rows, width, vocab_size = logits.shape
    rows = logits.flatten(0, 1)
    values, tokens = _best_of_each(rows, min(count, vocab_size))
    peak = values[:, :1]
    at_once = max(_AT_ONCE // len(rows), 1) if logits.device.type == "cpu" else vocab_size
    total = sum((piece - peak).exp_().sum(dim=1, keepdim=True) for piece in rows.split(at_once, dim=1))
    scores = (values - peak - torch.log(total)).view(num_rows, width, -1) + sums.unsqueeze(-1)
    best, choice = scores.flatten(1).topk(count)
    beams = torch.arange(width, device=logits.device).unsqueeze(-1) * vocab_size
    return best, (beams + tokens.view(num_rows, width, -1)).flatten(1).gather(1, choice)


def _best_of_each(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` greatest of each row [n, vocab], in float32, and the tokens that they belong to.

    They lie in the blocks whose greatest are the greatest, or behind the last whole block.
    """
    num_blocks = rows.shape[1] // _BLOCK
    whole = num_blocks * _BLOCK
    if rows.stride(1) == 1:
        greatest = rows[:, :whole].unflatten(1, (num_blocks, _BLOCK)).amax(dim=-1)
    else:  # the same numbers; amax follows the dimensions, not the memory
        greatest = rows.T[:whole].unflatten(0, (num_blocks, _BLOCK)).amax(dim=1).T
    blocks = greatest.topk(min(count, num_blocks)).indices
    places = torch.arange(_BLOCK, device=rows.device)
    behind = torch.arange(whole, rows.shape[1], device=rows.device).expand(len(rows), -1)
    tokens = torch.cat([(blocks.unsqueeze(-1) * _BLOCK + places).flatten(1), behind], dim=1)
    values, choice = rows.gather(1, tokens).topk(count)
    return values.float(), tokens.gather(1, choice)
