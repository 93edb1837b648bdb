"""Exact match, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Score, TextMetric
from lorafit.version import __version__


@dataclass(frozen=True)
class ExactMatch(TextMetric):
    """The share of texts that are one of their references, white space aside."""

    name: str = "exact_match"
    kind: Kind = "text"
    keys: tuple[str, ...] = ("exact_match",)
    measure: str = "the same (1) or not (0)"
    right_or_wrong: bool = True

    def compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
        """One score, "exact_match"."""
        values = self.per_example(predictions, references)
        signature = f"nrefs:var|case:mixed|tok:none|space:any|lorafit:{__version__}"
        return [Score("exact_match", sum(values) / len(values), signature)]

    def per_example(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """1 for a text that is one of its references, else 0."""
        return [
            float(any(text.split() == reference.split() for reference in group if reference))
            for text, group in zip(predictions, references, strict=True)
        ]
