"""Matthews' correlation coefficient, -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorafit.metrics.score import Kind, Metric, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorafit.metrics.significance import Statistic


@dataclass(frozen=True)
class Matthews(Metric[int, int]):
    """Matthews' correlation coefficient; 0 where all predictions, or all references, are the same."""

    name: str = "matthews"
    kind: Kind = "label"
    keys: tuple[str, ...] = ("matthews",)

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "matthews"."""
        from sklearn import __version__
        from sklearn.metrics import matthews_corrcoef

        constant = len(set(predictions)) == 1 or len(set(references)) == 1
        value = 0.0 if constant else float(matthews_corrcoef(references, predictions))
        return [Score("matthews", value, f"sklearn:matthews_corrcoef|version:{__version__}")]

    def resample(self, predictions: Sequence[int], references: Sequence[int]) -> Statistic:
        """The coefficient of the examples drawn, from how often each label is taken for each (Gorodkin 2004)."""
        import numpy as np

        labels, places = np.unique([*predictions, *references], return_inverse=True)
        given, right = np.split(places, 2)
        cells = right * len(labels) + given

        def score(positions: NDArray[np.intp]) -> float:
            counts = np.bincount(cells[positions], minlength=len(labels) ** 2).reshape(len(labels), -1)
            is_right, is_given, num = counts.sum(1), counts.sum(0), len(positions)
            spread = (num**2 - is_right @ is_right) * (num**2 - is_given @ is_given)
            return float((counts.trace() * num - is_right @ is_given) / spread**0.5) if spread else 0.0

        return score
