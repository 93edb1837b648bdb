"""Perplexity; 1 is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Reads, Score
from lorafit.version import __version__


@dataclass(frozen=True)
class Perplexity(Metric[Sequence[float], Sequence[str]]):
    """exp of the mean negative log-likelihood of the references' tokens, with the prompt before them.

    The evidence for a text is the sum of that over all its references, and the number of their tokens.
    """

    name: str = "perplexity"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("perplexity",)
    higher_is_better: bool = False
    reads: Reads = "evidence"

    def compute(
        self, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[str]]
    ) -> list[Score]:
        """One score, "perplexity"; its value is None where it is too great for a number."""
        del references  # the model has read them
        total, num_tokens = (sum(each[i] for each in predictions) for i in (0, 1))
        signature = f"base:e|per:token|lorafit:{__version__}"
        mean = total / max(num_tokens, 1)
        if not num_tokens or not mean < math.log(1e300):
            what = f"{mean:.4g} nats a token" if num_tokens else "no reference has a token"
            return [Score("perplexity", None, signature, what)]
        return [Score("perplexity", math.exp(mean), signature)]
