"""How surprised a model is by texts: the exponential of the mean negative log-likelihood of their tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from lorafit.metrics.score import Kind, Metric, Score

_GREATEST_LOSS = 700.0  # of which there is still an exponential


class Likelihood(NamedTuple):
    """Of the tokens of an example that count: the sum of their negative log-likelihoods in nats, and how many."""

    loss_sum: float
    num_tokens: int


@dataclass(frozen=True)
class Perplexity(Metric[Likelihood, None]):
    """exp(sum of losses / number of tokens) over all examples together. It depends on the tokenizer."""

    name: str = "perplexity"
    kind: Kind = "likelihood"
    keys: tuple[str, ...] = ("perplexity",)
    higher_is_better: bool = False
    measure: str = "perplexity"

    @override
    def compute(self, predictions: Sequence[Likelihood], references: Sequence[None]) -> list[Score]:
        """One score, "perplexity"; None where there is no token, or it is too large for a number."""
        num_tokens = sum(each.num_tokens for each in predictions)
        signature = f"perplexity|tokens:{num_tokens}"
        if num_tokens == 0:
            return [Score("perplexity", None, signature, "no token counts")]
        loss = sum(each.loss_sum for each in predictions) / num_tokens
        if not loss < _GREATEST_LOSS:
            return [Score("perplexity", None, signature, "the loss is not a number, or too large")]
        return [Score("perplexity", math.exp(loss), signature)]
