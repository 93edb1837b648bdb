"""Beam search by the rules of the LoRA paper's code (microsoft/LoRA, examples/NLG/src/gpt2_beam.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lorafit.decoding.search import Move, ban_repeated_ngrams, best_continuations
from lorafit.errors import DivergedError


@dataclass(frozen=True)
class BeamSearch:
    """The paper's beam search. The defaults are those of its E2E command.

    * A hypothesis of `len` generated tokens scores (sum of log p) / len ** length_penalty; its end token
      counts.
    * Of all beams x vocabulary only the best `num_beams` continuations are looked at (not twice as many).
    * One that ends with an end token is finished: it is kept if strictly better than the best so far, and
      its beam dies. Those unfinished after `max_new_tokens` compete at the end.
    * No n-gram of `no_repeat_ngram_size` comes twice among the generated tokens; the ban comes before the
      softmax.

    Hugging Face's beam search follows other rules in each of these. This one computes less than the original,
    but never another result: see `Beams`.
    """

    one_by_one: ClassVar[bool] = False

    num_beams: int = 10
    length_penalty: float = 0.8  # README of the code; Table 11 says 0.9
    no_repeat_ngram_size: int = 4
    max_new_tokens: int = 64
    eos_token_ids: tuple[int, ...] = (50256, 628)  # <|endoftext|> and the blank line

    def begin(self, examples: Sequence[int], device: torch.device) -> Beams:
        """The search for one batch, of which row i is example `examples[i]`."""
        return Beams(self, examples, device)


class Beams:
    """The beams of a batch of n examples, best first in every row.

    Beams that cannot win are dropped, and an example without beams is done. A beam with the sum s after t
    tokens cannot win when s / reach <= best, where reach = max_new_tokens ** length_penalty (or
    (t + 1) ** length_penalty, if the penalty is not positive) is the largest divisor still ahead. Proof: as
    log p <= 0, whatever continues the beam has a sum <= s <= 0, hence a score <= s / reach; and only a score
    strictly above `best` replaces it. Sums and quotients round monotonically, so this holds in floating point
    too. Nor does dropping the beam change what becomes of others: it vacates places among the best
    `num_beams` to continuations with no greater sums than its own continuations had, which therefore cannot
    win either.
    """

    def __init__(self, options: BeamSearch, examples: Sequence[int], device: torch.device) -> None:
        num_examples = len(examples)
        self.options = options
        self.examples = list(examples)
        self.eos = torch.tensor(options.eos_token_ids, dtype=torch.long, device=device)
        self.sums = torch.zeros(
            num_examples, 1, device=device
        )  # of log p; one beam, the prompt, to begin with
        self.history = torch.empty(num_examples, 1, 0, dtype=torch.long, device=device)
        self.best_score = torch.full((num_examples,), -torch.inf, device=device)
        self.best_length = torch.zeros(num_examples, dtype=torch.long, device=device)
        self.best_tokens = torch.zeros(num_examples, options.max_new_tokens, dtype=torch.long, device=device)

    @property
    def num_steps(self) -> int:
        """Tokens generated so far."""
        return self.history.shape[-1]

    def advance(self, logits: Tensor) -> Move:
        """Add one token to every beam. logits [n, width, vocab], changed in place, are for the last move."""
        parents = self._extend(logits)
        ended = torch.isin(self.history[..., -1], self.eos)
        self._offer(ended)
        self.sums = self.sums.masked_fill(ended, -torch.inf)
        if self.num_steps == self.options.max_new_tokens:
            self._offer(~ended)
            self.sums = torch.full_like(self.sums, -torch.inf)
        return self._drop_the_hopeless(parents)

    def _extend(self, logits: Tensor) -> Tensor:
        """The best `num_beams` continuations become the beams; gives their parents [n, num_beams]."""
        ban_repeated_ngrams(logits, self.history, self.options.no_repeat_ngram_size)
        self.sums, choice = best_continuations(logits, self.sums, self.options.num_beams)
        parents = choice.div(logits.shape[-1], rounding_mode="floor")
        tokens = choice.remainder(logits.shape[-1])
        self.history = torch.cat([_pick(self.history, parents), tokens.unsqueeze(-1)], dim=-1)
        return parents

    def _offer(self, candidates: Tensor) -> None:
        """Keep the best of the `candidates` [n, num_beams] where it is strictly better than the best yet."""
        scores = self.sums.masked_fill(~candidates, -torch.inf) / self.num_steps**self.options.length_penalty
        score, beam = scores.max(dim=1)
        better = score > self.best_score
        tokens = _pick(self.history, beam.unsqueeze(1)).squeeze(1)
        kept = self.best_tokens[:, : self.num_steps]
        kept.copy_(torch.where(better.unsqueeze(1), tokens, kept))
        self.best_score = torch.where(better, score, self.best_score)
        self.best_length = torch.where(better, self.num_steps, self.best_length)

    def _drop_the_hopeless(self, parents: Tensor) -> Move:
        longest = self.options.max_new_tokens if self.options.length_penalty > 0 else self.num_steps + 1
        hopeful = self.sums / longest**self.options.length_penalty > self.best_score.unsqueeze(1)
        num_hopeful = hopeful.sum(dim=1).tolist()  # the one wait for the device in a step
        sums, order = self.sums.sort(dim=1, descending=True, stable=True)  # the hopeful come first
        order = order[:, : max(num_hopeful)]
        self.sums = sums[:, : max(num_hopeful)]
        self.history = _pick(self.history, order)
        parents = parents.gather(1, order)
        finished = tuple(self._result(row) for row, count in enumerate(num_hopeful) if not count)
        if not finished:
            return Move(parents, self.history[..., -1])
        rows = self._keep([row for row, count in enumerate(num_hopeful) if count])
        return Move(parents[rows], self.history[..., -1], rows, finished)

    def _result(self, row: int) -> tuple[int, list[int]]:
        length = int(self.best_length[row])
        if length == 0:
            raise DivergedError("decoding: no continuation has a probability; are the model's weights NaN?")
        return self.examples[row], self.best_tokens[row, :length].tolist()

    def _keep(self, going_on: list[int]) -> Tensor:
        """Let go of all rows but these; gives them as a tensor."""
        rows = torch.tensor(going_on, dtype=torch.long, device=self.sums.device)
        self.examples = [self.examples[row] for row in going_on]
        self.sums, self.history = self.sums[rows], self.history[rows]
        self.best_score, self.best_length = self.best_score[rows], self.best_length[rows]
        self.best_tokens = self.best_tokens[rows]
        return rows


def _pick(history: Tensor, beams: Tensor) -> Tensor:
    """The histories [n, k, t] of the `beams` [n, k], out of history [n, width, t]."""
    return history.gather(1, beams.unsqueeze(-1).expand(-1, -1, history.shape[-1]))
