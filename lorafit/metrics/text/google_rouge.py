"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), 0 to 1, as Google's rouge_score and so Hugging Face's `rouge` compute them.

The library itself needs nltk and absl, and has had no release since 2022; what it does without stemming is below.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Score, TextMetric, present
from lorafit.metrics.text.rouge import longest_common_subsequence
from lorafit.version import __version__

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class GoogleRouge(TextMetric):
    """The mean over the texts of F1: of n-grams in common or, without `n`, of the longest common subsequence.

    Of several references the one with the greatest F1 counts.
    """

    kind: Kind = "text"
    keys: tuple[str, ...] = ("rougeL",)
    measure: str = "F1 of what is in common"
    n: int | None = None  # length of the n-grams

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, by the metric's own name."""
        values = self.per_example(predictions, references)
        signature = f"nrefs:best|case:lc|tok:[a-z0-9]+|stem:no|lorafit:{__version__}"
        return [Score(self.name, sum(values) / len(values), signature)]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """F1 of every text."""
        return [
            max((self._f1(_words(text), _words(reference)) for reference in present(group)), default=0.0)
            for text, group in zip(predictions, references, strict=True)
        ]

    def _f1(self, words: Sequence[str], expected: Sequence[str]) -> float:
        if self.n is None:
            return _f1(longest_common_subsequence(words, expected), len(words), len(expected))
        ours, theirs = (_ngrams(side, self.n) for side in (words, expected))
        return _f1((ours & theirs).total(), ours.total(), theirs.total())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _f1(num_shared: int, num_given: int, num_expected: int) -> float:
    """2 p r / (p + r), where p and r are the shares of what is given and of what is expected."""
    return 2 * num_shared / (num_given + num_expected) if num_shared else 0.0
