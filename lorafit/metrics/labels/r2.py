"""Coefficient of determination, at most 1; 0 is what the mean of the references would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class R2(Metric[float, float]):
    """1 - (sum of squared errors) / (sum of squared distances of the references from their mean)."""

    name: str = "r2"
    kind: Kind = "score"
    keys: tuple[str, ...] = ("r2",)

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "r2"; its value is None where it is not defined."""
        from sklearn import __version__
        from sklearn.metrics import r2_score

        signature = f"sklearn:r2_score|version:{__version__}"
        if not all(map(math.isfinite, (*predictions, *references))):
            return [Score("r2", None, signature, "some numbers are NaN or infinite")]
        if len(set(references)) < 2:
            return [Score("r2", None, signature, "all references are the same, and R2 needs two values")]
        return [Score("r2", float(r2_score(references, predictions)), signature)]
