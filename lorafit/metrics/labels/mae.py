"""Mean absolute error; 0 is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class MeanAbsoluteError(Metric[float, float]):
    """The mean of |prediction - reference|."""

    name: str = "mae"
    kind: Kind = "score"
    keys: tuple[str, ...] = ("mae",)
    higher_is_better: bool = False
    measure: str = "distance from the label"

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "mae"; its value is None where a number is NaN or infinite."""
        from sklearn import __version__
        from sklearn.metrics import mean_absolute_error

        signature = f"sklearn:mean_absolute_error|version:{__version__}"
        if not all(map(math.isfinite, (*predictions, *references))):
            return [Score("mae", None, signature, "some numbers are NaN or infinite")]
        return [Score("mae", float(mean_absolute_error(references, predictions)), signature)]

    def per_example(self, predictions: Sequence[float], references: Sequence[float]) -> list[float]:
        """|prediction - reference|"""
        return [abs(p - r) for p, r in zip(predictions, references, strict=True)]
