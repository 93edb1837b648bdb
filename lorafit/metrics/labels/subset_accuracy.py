"""Subset accuracy, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score
from lorafit.version import __version__


@dataclass(frozen=True)
class SubsetAccuracy(Metric[Sequence[int], Sequence[int]]):
    """The share of examples of which every label is right: none is missing, and none too many."""

    name: str = "subset_accuracy"
    kind: Kind = "labels"
    keys: tuple[str, ...] = ("subset_accuracy",)
    measure: str = "all labels right (1) or not (0)"
    right_or_wrong: bool = True

    def compute(
        self, predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
    ) -> list[Score]:
        """One score, "subset_accuracy"."""
        values = self.per_example(predictions, references)
        return [Score("subset_accuracy", sum(values) / len(values), f"lorafit:{__version__}")]

    def per_example(
        self, predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]
    ) -> list[float]:
        """1 where all labels are right, else 0."""
        return [float(tuple(p) == tuple(r)) for p, r in zip(predictions, references, strict=True)]
