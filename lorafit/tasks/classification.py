"""Texts in classes, each in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import override

from lorafit.data.cells import name_of
from lorafit.data.rows import Label, single
from lorafit.metrics import Kind
from lorafit.tasks.classes import ClassTask


class Classification(ClassTask):
    """Give a text, or a pair of texts, one of several classes."""

    kind: ClassVar[str] = "classification"
    output: ClassVar[Kind] = "label"

    @override
    def usual_metrics(self) -> tuple[str, ...]:
        """Accuracy, and of two classes the F1 of the second."""
        if self.metrics is not None:
            return self.metrics
        return ("accuracy", "f1") if self.labels is None or len(self.labels) == 2 else ("accuracy",)

    @override
    def cells(self, value: object) -> Sequence[object]:
        """The field itself."""
        if not name_of(value):
            raise ValueError(f"{self.label}: has no class")
        return (value,)

    @override
    def balanced_weight(self, count: int, num_rows: int, num_classes: int) -> float:
        """Rows of a class if all had as many, over those that it has (scikit-learn's rule)."""
        return num_rows / (num_classes * count)

    @override
    def parse_label(self, value: object) -> float:
        return self.index_of(value)

    @override
    def label_text(self, label: Label) -> str:
        return self.known_labels()[int(single(label))]
