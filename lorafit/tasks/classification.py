"""Texts in classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import ClassVar, Literal, Self

from pydantic import model_validator
from typing_extensions import override

from lorafit.data.cells import name_of, number_of, shown, shown_names
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, RecipeError, SetKey
from lorafit.metrics import Kind
from lorafit.tasks.labels import LabelTask

_FEW_ROWS = 20  # in which every row may well have a class of its own
_NO_CLASS = frozenset(("-", "?", "nan", "null", "n/a"))  # what files say where a row has no class


class Classification(LabelTask):
    """Give a text, or a pair of texts, one of several classes."""

    kind: ClassVar[str] = "classification"
    output: ClassVar[Kind] = "label"

    labels: tuple[str, ...] | None = None
    """The classes, in the order of the model's outputs. Without it: those of the training rows, sorted, numbers by
    their size."""
    label_values: Literal["names", "indices"] = "names"
    """What a whole number in the label's column is, written 1, 1.0 or "1". names: the name of a class, like any text;
    indices: the place of a class in `labels`, counted from 0, while a text is still a name."""

    @model_validator(mode="after")
    def _labels_are_clear(self) -> Self:
        labels = self.labels
        if labels is None:
            if self.label_values == "indices":
                raise ValueError("'label_values' is \"indices\", which needs 'labels': indices of what?")
            return self
        names = _places(labels)
        if len(labels) < 2 or len(names) < len(labels) or "" in names:
            raise ValueError(
                f"'labels' must be two classes or more, each with a name of its own; got {list(labels)!r}"
            )
        if self.label_values == "indices" and (
            numbers := [name for name in labels if number_of(name) is not None]
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
        if (index := self._index(value, _places(labels))) is not None:
            return index
        if self.label_values == "indices":
            labels = tuple(f"{name} ({i})" for i, name in enumerate(labels))
        raise ValueError(f"label {shown(value)} is none of {shown_names(labels)}")

    def _index(self, value: object, places: Mapping[str, int]) -> int | None:
        """The place of a class by its name or, where the task says so, by its index; None where there is none."""
        try:
            name = name_of(value)
        except ValueError:
            return None
        if self.label_values == "names":
            return places.get(name)
        if isinstance(value, str) and name in places:
            return places[name]
        number = number_of(value)
        return int(number) if number is not None and number in range(len(places)) else None

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
        """The classes of the rows that can be used."""
        spellings: dict[str, set[str]] = {}
        num_rows = 0
        for row in rows:
            value = row.fields.get(self.label)
            try:
                self._texts(row)
                name = name_of(value)
            except ValueError:
                continue  # a bad row, which is said where rows are read
            if name:
                spellings.setdefault(name, set()).add(_spelling(value, name))
                num_rows += 1
        if num_rows == 0:
            raise DataError(f"[task] label: no training row has a label in the column {self.label!r}")
        found = [only.pop() if len(only) == 1 else name for name, only in spellings.items()]
        if len(found) == 1:
            raise DataError(
                f"[task] label: every training row has the label {found[0]!r} in the column {self.label!r}; there "
                f"must be two classes or more"
            )
        if len(found) == num_rows > _FEW_ROWS:
            raise DataError(
                f"[task] label: each of the {num_rows:,} training rows has a label of its own in the column "
                f"{self.label!r}",
                SetKey("task.label", note="to the column of the classes"),
            )
        self._check_are_classes(found)
        return tuple(sorted(found, key=_order))

    def _check_are_classes(self, found: Iterable[str]) -> None:
        """Raises DataError for a label that could be meant twice, such as "-": SNLI says so that a row has none."""
        names = set(found)
        unclear = _NO_CLASS | ({"-1", "true", "false"} if names & {"0", "1"} else set())
        marks = [name for name in names if name.casefold() in unclear and (name != "-1" or "0" in names)]
        if marks:
            raise DataError(
                f"[task] label: {min(marks)!r} in the column {self.label!r} may be a class of its own, or not",
                SetKey("task.labels", note="to the classes; a row with another label is then a bad row"),
            )


@lru_cache
def _places(labels: tuple[str, ...]) -> Mapping[str, int]:
    """The place of each label, by its name in whatever spelling."""
    return {name_of(label): index for index, label in enumerate(labels)}


def _spelling(value: object, name: str) -> str:
    """How the class of that name is called: 1.0 is 1, while 007, which may be a code, stays as it is."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text.isdecimal() and text.startswith("0") else name


def _order(name: str) -> tuple[float, str]:
    """Numbers by their size, and before other names."""
    try:
        number = float(name)
    except ValueError:
        return math.inf, name
    return (math.inf if math.isnan(number) else number), name
