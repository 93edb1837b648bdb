"""Accuracy, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class Accuracy(Metric[int, int]):
    """The share of right labels."""

    name: str = "accuracy"
    kind: Kind = "label"
    keys: tuple[str, ...] = ("accuracy",)
    measure: str = "right (1) or wrong (0)"
    right_or_wrong: bool = True

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "accuracy"."""
        from sklearn import __version__
        from sklearn.metrics import accuracy_score

        value = float(accuracy_score(references, predictions))
        return [Score("accuracy", value, f"sklearn:accuracy_score|version:{__version__}")]

    def per_example(self, predictions: Sequence[int], references: Sequence[int]) -> list[float]:
        """1 for a right label, 0 for a wrong one."""
        return [float(p == r) for p, r in zip(predictions, references, strict=True)]
