"""Root mean squared error; 0 is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class RootMeanSquaredError(Metric[float, float]):
    """The root of the mean of (prediction - reference)^2."""

    name: str = "rmse"
    kind: Kind = "score"
    keys: tuple[str, ...] = ("rmse",)
    higher_is_better: bool = False

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "rmse"; its value is None where a number is NaN or infinite."""
        from sklearn import __version__
        from sklearn.metrics import root_mean_squared_error

        signature = f"sklearn:root_mean_squared_error|version:{__version__}"
        if not all(map(math.isfinite, (*predictions, *references))):
            return [Score("rmse", None, signature, "some numbers are NaN or infinite")]
        return [Score("rmse", float(root_mean_squared_error(references, predictions)), signature)]
