"""How well each label is told: precision, recall and F1 of every label, and which one is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.files import JsonObject
from lorafit.metrics.labels.averaged_f1 import Decision

_MOST_LABELS = 100  # of a confusion matrix


@dataclass(frozen=True)
class LabelLine:
    """A label's figures, 0 to 1, and how many examples have it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class LabelReport:
    """A line for each label. `confusion[i][j]`: how many examples of label i were taken for j; None where an example
    may have several labels, and where there are too many."""

    lines: dict[str, LabelLine]
    confusion: tuple[tuple[int, ...], ...] | None

    def to_json(self) -> JsonObject:
        """{"classes": {name: figures}, "confusion": rows}; rows are right, columns predicted, both in that order."""
        document: JsonObject = {"classes": {name: vars(line) for name, line in self.lines.items()}}
        if self.confusion is not None:
            document["confusion"] = [list(row) for row in self.confusion]
        return document


def label_report(
    predictions: Sequence[Decision], references: Sequence[Decision], labels: Sequence[str]
) -> LabelReport:
    """The report on predictions of `labels`; a label that is never predicted has precision 0."""
    import numpy as np
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    right, given, places = np.asarray(references), np.asarray(predictions), range(len(labels))
    figures = precision_recall_fscore_support(right, given, labels=list(places), zero_division=0.0)
    lines = {
        name: LabelLine(float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(labels, *figures, strict=True)
    }
    if right.ndim == 2 or len(labels) > _MOST_LABELS:
        return LabelReport(lines, None)
    counts = confusion_matrix(right, given, labels=list(places)).tolist()
    return LabelReport(lines, tuple(tuple(map(int, row)) for row in counts))
