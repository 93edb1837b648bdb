"""Texts in classes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import model_validator
from typing_extensions import override

from lorafit.data.rows import RawRow
from lorafit.errors import DataError, RecipeError, SetKey
from lorafit.metrics import Kind
from lorafit.tasks.labels import LabelTask

_FEW_ROWS = 20  # in which every row may well have a class of its own


class Classification(LabelTask):
    """Give a text, or a pair of texts, one of several classes."""

    kind: ClassVar[str] = "classification"
    output: ClassVar[Kind] = "label"

    labels: tuple[str, ...] | None = None
    """The classes, in the order of the model's outputs. Without it: those of the training rows, sorted, numbers by
    their size."""
    label_values: Literal["names", "indices"] = "names"
    """What a whole number in the label's column is. names: the name of a class, like any text; indices: the place of a
    class in `labels`, counted from 0, while a text is still a name."""

    @model_validator(mode="after")
    def _labels_are_clear(self) -> Self:
        labels = self.labels
        if labels is None:
            if self.label_values == "indices":
                raise ValueError("'label_values' is \"indices\", which needs 'labels': indices of what?")
            return self
        if len(labels) < 2 or len(set(labels)) < len(labels) or "" in labels:
            raise ValueError(
                f"'labels' must be two classes or more, each with a name of its own; got {list(labels)!r}"
            )
        if self.label_values == "indices" and (
            numbers := [name for name in labels if name.strip().isdecimal()]
        ):
            raise ValueError(
                f"'labels' holds {numbers[0]!r}, which could be a name or an index; set 'label_values' to \"names\""
            )
        return self

    @property
    @override
    def num_outputs(self) -> int:
        return len(self._known_labels())

    @override
    def usual_metrics(self) -> tuple[str, ...]:
        """Accuracy, and of two classes the F1 of the second."""
        if self.metrics is not None:
            return self.metrics
        return ("accuracy", "f1") if self.labels is None or len(self.labels) == 2 else ("accuracy",)

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With the labels of the training rows, and the metrics for them."""
        labels = self._found_labels(rows) if self.labels is None else self.labels
        resolved = self.model_copy(update={"labels": labels})
        return resolved.model_copy(
            update={"metrics": resolved.usual_metrics(), "headline": resolved.headline_score}
        )

    @override
    def parse_label(self, value: object) -> float:
        labels = self._known_labels()
        if self.label_values == "indices":
            index = labels.index(value) if isinstance(value, str) and value in labels else _index(value)
            if index not in range(len(labels)):
                known = ", ".join(f"{name} ({i})" for i, name in enumerate(labels))
                raise ValueError(f"label {value!r} is none of {known}")
            return index
        name = _name(value)
        if name not in labels:
            raise ValueError(f"label {value!r} is none of {', '.join(labels)}")
        return labels.index(name)

    @override
    def label_text(self, label: float) -> str:
        return self._known_labels()[int(label)]

    def _known_labels(self) -> tuple[str, ...]:
        if self.labels is None:
            raise RecipeError(
                "[task] labels: they come from the training rows, which are not here", SetKey("task.labels")
            )
        return self.labels

    def _found_labels(self, rows: Iterable[RawRow]) -> tuple[str, ...]:
        found: set[str] = set()
        num_rows = 0
        for row in rows:
            name = _name(row.fields.get(self.label))
            found |= {name} if name else set()
            num_rows += bool(name)
        if num_rows == 0:
            raise DataError(f"[task] label: no training row has a label in the column {self.label!r}")
        if len(found) == 1:
            raise DataError(
                f"[task] label: every training row has the label {found.pop()!r} in the column {self.label!r}; there "
                f"must be two classes or more"
            )
        if len(found) == num_rows > _FEW_ROWS:
            raise DataError(
                f"[task] label: each of the {num_rows:,} training rows has a label of its own in the column "
                f"{self.label!r}",
                SetKey("task.label", note="to the column of the classes"),
            )
        return tuple(sorted(found, key=_order))


def _name(value: object) -> str:
    """A label as the name of a class, the same from files with types and without; "" where there is none."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value):
            return ""
        case float() if value.is_integer():
            return str(int(value))
        case int() | float() | str():
            return str(value)
    return ""


def _index(value: object) -> int:
    """A whole number, written out or not; -1 for anything else."""
    match value:
        case bool():
            return -1
        case float() if value.is_integer():
            return int(value)
        case int():
            return value
        case str() if value.strip().isdecimal():
            return int(value)
    return -1


def _order(name: str) -> tuple[float, str]:
    """Numbers by their size, and before other names."""
    try:
        number = float(name)
    except ValueError:
        return math.inf, name
    return (math.inf if math.isnan(number) else number), name
