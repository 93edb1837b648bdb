"""Whether a difference between two systems on the same examples could be chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.intp]], float]
"""The score of a system on the examples of these positions; a position may come several times."""


@dataclass(frozen=True)
class Difference:
    """Scores of two systems, B less A, and how sure it is.

    `low` and `high` bound the difference with 95 % confidence, None for an exact test; `p_value` is two-sided.
    """

    metric: str
    a: float
    b: float
    p_value: float
    test: str
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float:
        return self.b - self.a


def everything(num_examples: int) -> NDArray[np.intp]:
    """The positions of all examples."""
    return np.arange(num_examples)


def mean_of(values: Sequence[float]) -> Statistic:
    """The mean of the examples' values."""
    known = np.asarray(values, dtype=float)
    return lambda positions: float(known[positions].mean())


def mcnemar(metric: str, a_right: Sequence[bool], b_right: Sequence[bool]) -> Difference:
    """Exact McNemar test on the examples that only one of the two gets right (McNemar 1947)."""
    from scipy.stats import binomtest

    pairs = list(zip(a_right, b_right, strict=True))
    only_a = sum(a and not b for a, b in pairs)
    only_b = sum(b and not a for a, b in pairs)
    p_value = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    return Difference(
        metric,
        sum(a_right) / len(pairs),
        sum(b_right) / len(pairs),
        float(p_value),
        f"exact McNemar, {only_a} right in A alone, {only_b} in B alone",
    )


def paired_bootstrap(
    metric: str, a: Statistic, b: Statistic, num_examples: int, *, num_samples: int = 1000, seed: int = 0
) -> Difference:
    """Draw the examples anew, the same for both systems, and see how the difference of scores spreads (Koehn 2004).

    The p-value is the share of resampled differences that lie at least as far from their mean as the observed one
    from zero (Riezler & Maxwell 2005, and sacrebleu).
    """
    generator = np.random.default_rng(seed)
    score_a, score_b = a(everything(num_examples)), b(everything(num_examples))
    draws = (generator.integers(num_examples, size=num_examples) for _ in range(num_samples))
    differences = np.array([b(draw) - a(draw) for draw in draws])
    far = np.abs(differences - differences.mean()) >= abs(score_b - score_a) - 1e-12
    low, high = np.quantile(differences, (0.025, 0.975))
    return Difference(
        metric,
        score_a,
        score_b,
        float((far.sum() + 1) / (num_samples + 1)),
        f"paired bootstrap, {num_samples} samples",
        float(low),
        float(high),
    )


def bootstrap(
    score: Statistic, num_examples: int, *, num_samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The middle 95 % of a score over examples drawn anew, with replacement (Efron 1979, percentiles)."""
    generator = np.random.default_rng(seed)
    draws = (generator.integers(num_examples, size=num_examples) for _ in range(num_samples))
    low, high = np.quantile([score(draw) for draw in draws], (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests made together, so that one false alarm among all stays as rare (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    for rank, index in enumerate(order):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = greatest
    return adjusted
