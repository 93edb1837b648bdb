"""Matthews' correlation coefficient, -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


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
