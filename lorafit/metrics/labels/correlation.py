"""Pearson's and Spearman's correlation coefficients, -1 to 1."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorafit.metrics.score import Kind, Metric, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorafit.metrics.significance import Statistic


@dataclass(frozen=True)
class Pearson(Metric[float, float]):
    """Pearson's correlation coefficient."""

    name: str = "pearson"
    kind: Kind = "score"
    keys: tuple[str, ...] = ("pearson",)

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "pearson"; its value is None where it is not defined."""
        return [_correlation("pearson", predictions, references)]

    def resample(self, predictions: Sequence[float], references: Sequence[float]) -> Statistic:
        """The coefficient of the examples drawn; 0 where it is not defined."""
        import numpy as np

        pairs = np.asarray([predictions, references], dtype=float)
        return lambda positions: _pearson(pairs[:, positions])


@dataclass(frozen=True)
class Spearman(Metric[float, float]):
    """Spearman's rank correlation coefficient, middle ranks for ties."""

    name: str = "spearman"
    kind: Kind = "score"
    keys: tuple[str, ...] = ("spearman",)

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "spearman"; its value is None where it is not defined."""
        return [_correlation("spearman", predictions, references)]

    def resample(self, predictions: Sequence[float], references: Sequence[float]) -> Statistic:
        """The coefficient of the examples drawn; 0 where it is not defined."""
        import numpy as np
        from scipy.stats import rankdata

        pairs = np.asarray([predictions, references], dtype=float)
        return lambda positions: _pearson(rankdata(pairs[:, positions], axis=1, nan_policy="propagate"))


def _pearson(pairs: NDArray[np.float64]) -> float:
    """Of the two rows; 0 where a number is NaN or infinite or a row constant."""
    import numpy as np

    if not np.isfinite(pairs).all() or (pairs == pairs[:, :1]).all(1).any():
        return 0.0
    x, y = pairs - pairs.mean(1, keepdims=True)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _correlation(name: str, predictions: Sequence[float], references: Sequence[float]) -> Score:
    import numpy as np
    from scipy import __version__, stats

    signature = f"scipy:{name}r|version:{__version__}"
    given, wanted = (np.asarray(values, dtype=float) for values in (predictions, references))
    for what, values in (("predictions", given), ("references", wanted)):
        if not np.isfinite(values).all():
            return Score(name, None, signature, f"some {what} are NaN or infinite")
        if (values == values[0]).all():
            reason = f"all {what} are the same, and a correlation needs two values"
            return Score(name, None, signature, reason)
    with warnings.catch_warnings():  # nearly constant values: still exact enough
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[name]
        value = float(correlate(given, wanted).statistic)
    if not math.isfinite(value):
        return Score(name, None, signature, "not a number")
    return Score(name, value, signature)
