"""ROUGE-L (Lin 2004), 0 to 1, as the COCO captioning scorer and so the E2E challenge computes it.

rouge_score takes its own tokens and one reference; the original, pycocoevalcap, is an extra (see cider.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Score, TextMetric, present
from lorafit.metrics.text import ptb
from lorafit.version import __version__

BETA = 1.2


@dataclass(frozen=True)
class RougeL(TextMetric):
    """The mean over the segments of F with beta 1.2; precision and recall each from their best reference."""

    name: str = "rouge_l"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("rouge_l",)
    measure: str = "ROUGE-L of the text"

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "rouge_l"."""
        values = self.per_example(predictions, references)
        signature = f"nrefs:var|case:lc|tok:{ptb.SIGNATURE}|beta:{BETA}|lorafit:{__version__}"
        return [Score("rouge_l", sum(values) / len(values), signature)]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """F of every text."""
        return [_segment(p, present(group)) for p, group in zip(predictions, references, strict=True)]


def _segment(prediction: str, references: Sequence[str]) -> float:
    hypothesis = _words(prediction)
    groups = [_words(reference) for reference in references]
    common = [longest_common_subsequence(hypothesis, words) for words in groups]
    precision = max(length / len(hypothesis) for length in common)
    recall = max(length / len(words) for length, words in zip(common, groups, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _words(text: str) -> list[str]:
    """Never empty: the original splits "" into one empty word."""
    return ptb.ptb_tokens(text) or [""]


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words two texts have in common, in the same order."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]
