"""F1 over any number of labels, 0 to 1: the mean of the labels' own, or that of all decisions together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lorafit.metrics.score import Kind, Metric, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorafit.metrics.significance import Statistic

Decision = float | Sequence[int]
"""The number of an example's label or, of several labels, 1 or 0 for each."""


@dataclass(frozen=True)
class MacroF1(Metric[Decision, Decision]):
    """The mean of every label's F1; a label counts that is predicted or right somewhere, however rare it is."""

    name: str = "macro_f1"
    kind: Kind = "label"
    also: tuple[Kind, ...] = ("labels",)
    keys: tuple[str, ...] = ("macro_f1",)

    def compute(self, predictions: Sequence[Decision], references: Sequence[Decision]) -> list[Score]:
        """One score, "macro_f1"."""
        return [_averaged("macro", predictions, references)]


@dataclass(frozen=True)
class MicroF1(Metric[Decision, Decision]):
    """F1 of all decisions together; where each example has one label, this is the accuracy."""

    name: str = "micro_f1"
    kind: Kind = "label"
    also: tuple[Kind, ...] = ("labels",)
    keys: tuple[str, ...] = ("micro_f1",)

    def compute(self, predictions: Sequence[Decision], references: Sequence[Decision]) -> list[Score]:
        """One score, "micro_f1"."""
        return [_averaged("micro", predictions, references)]

    def resample(self, predictions: Sequence[Decision], references: Sequence[Decision]) -> Statistic:
        """F1 of the examples drawn, from the number of labels of each that are right, and predicted, and both."""
        import numpy as np

        from lorafit.metrics.significance import mean_of

        right, given = np.asarray(references), np.asarray(predictions)
        if right.ndim == 1:
            return mean_of((right == given).tolist())
        both, either = (right & given).sum(1), (right + given).sum(1)

        def score(positions: NDArray[np.intp]) -> float:
            return float(2 * both[positions].sum() / max(either[positions].sum(), 1))

        return score


def _averaged(
    average: Literal["macro", "micro"], predictions: Sequence[Decision], references: Sequence[Decision]
) -> Score:
    import numpy as np
    from sklearn import __version__
    from sklearn.metrics import f1_score

    right, given = np.asarray(references), np.asarray(predictions)
    value = float(f1_score(right, given, average=average, zero_division=0.0))
    return Score(f"{average}_f1", value, f"sklearn:f1_score|average:{average}|version:{__version__}")
