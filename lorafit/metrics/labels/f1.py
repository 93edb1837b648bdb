"""F1, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class F1(Metric[int, int]):
    """F1 of label 1; 0 where label 1 is never right."""

    name: str = "f1"
    kind: Kind = "label"
    keys: tuple[str, ...] = ("f1",)

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "f1"; its value is None where there are other labels than 0 and 1."""
        from sklearn import __version__
        from sklearn.metrics import f1_score

        signature = f"sklearn:f1_score|positive:1|version:{__version__}"
        found = {*predictions, *references}
        if others := found - {0, 1}:
            reason = f"F1 is for labels 0 and 1, and there is a label {min(others)}"
            return [Score("f1", None, signature, reason)]
        if 1 not in found:  # sklearn would warn
            return [Score("f1", 0.0, signature)]
        return [Score("f1", float(f1_score(references, predictions)), signature)]
