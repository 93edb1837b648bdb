"""The GLUE metrics: accuracy, F1, Matthews, Pearson, Spearman; all between -1 and 1."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lorafit.metrics.score import Kind, Metric, Score


@dataclass(frozen=True)
class Accuracy(Metric):
    """The share of right labels."""

    kind: ClassVar[Kind] = "label"
    keys: ClassVar[tuple[str, ...]] = ("accuracy",)

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "accuracy"."""
        from sklearn import __version__
        from sklearn.metrics import accuracy_score

        value = float(accuracy_score(references, predictions))
        return [Score("accuracy", value, f"sklearn:accuracy_score|version:{__version__}")]


@dataclass(frozen=True)
class F1(Metric):
    """F1 of label 1; 0 where label 1 is never right."""

    kind: ClassVar[Kind] = "label"
    keys: ClassVar[tuple[str, ...]] = ("f1",)

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "f1"; its value is None where there are other labels than 0 and 1."""
        from sklearn import __version__
        from sklearn.metrics import f1_score

        signature = f"sklearn:f1_score|positive:1|version:{__version__}"
        if others := {*predictions, *references} - {0, 1}:
            return [
                Score("f1", None, signature, f"F1 is for labels 0 and 1, and there is a label {min(others)}")
            ]
        positive = (
            [1] if 1 in {*predictions, *references} else []
        )  # no label 1 anywhere: 0, without a warning
        value = (
            float(f1_score(references, predictions, labels=positive, average="micro")) if positive else 0.0
        )
        return [Score("f1", value, signature)]


@dataclass(frozen=True)
class Matthews(Metric):
    """Matthews' correlation coefficient; 0 where all predictions, or all references, are the same."""

    kind: ClassVar[Kind] = "label"
    keys: ClassVar[tuple[str, ...]] = ("matthews",)

    def compute(self, predictions: Sequence[int], references: Sequence[int]) -> list[Score]:
        """One score, "matthews"."""
        from sklearn import __version__
        from sklearn.metrics import matthews_corrcoef

        constant = len(set(predictions)) == 1 or len(set(references)) == 1
        value = 0.0 if constant else float(matthews_corrcoef(references, predictions))
        return [Score("matthews", value, f"sklearn:matthews_corrcoef|version:{__version__}")]


@dataclass(frozen=True)
class Pearson(Metric):
    """Pearson's correlation coefficient."""

    kind: ClassVar[Kind] = "score"
    keys: ClassVar[tuple[str, ...]] = ("pearson",)

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "pearson"; its value is None where it is not defined."""
        return [_correlation("pearson", predictions, references)]


@dataclass(frozen=True)
class Spearman(Metric):
    """Spearman's rank correlation coefficient, middle ranks for ties."""

    kind: ClassVar[Kind] = "score"
    keys: ClassVar[tuple[str, ...]] = ("spearman",)

    def compute(self, predictions: Sequence[float], references: Sequence[float]) -> list[Score]:
        """One score, "spearman"; its value is None where it is not defined."""
        return [_correlation("spearman", predictions, references)]


def _correlation(name: str, predictions: Sequence[float], references: Sequence[float]) -> Score:
    from scipy import __version__, stats

    correlate = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[name]
    signature = f"scipy:{name}r|version:{__version__}"
    for what, values in (("predictions", predictions), ("references", references)):
        if not all(map(math.isfinite, values)):
            return Score(name, None, signature, f"some {what} are NaN or infinite")
        if len(set(values)) < 2:
            return Score(
                name, None, signature, f"all {what} are the same, and a correlation needs two values"
            )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", stats.NearConstantInputWarning
        )  # still exact enough, and no news to the user
        value = float(correlate(predictions, references).statistic)
    return (
        Score(name, value, signature)
        if math.isfinite(value)
        else Score(name, None, signature, "not a number")
    )
