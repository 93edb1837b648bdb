"""What tasks with classes share: their names, how much each counts, and how both are found in the training rows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Self

from pydantic import PositiveFloat, model_validator
from typing_extensions import override

from lorafit.data.cells import name_of, number_of, shown, shown_names
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, RecipeError, SetKey
from lorafit.tasks.labels import LabelTask

_FEW_ROWS = 20  # in which every row may well have a class of its own
_NO_CLASS = frozenset(("-", "?", "nan", "null", "n/a"))  # what files say where a row has no class


class ClassTask(LabelTask):
    """Classes for one text or two."""

    labels: tuple[str, ...] | None = None
    """The classes, in the order of the model's outputs. Without it: those of the training rows, sorted, numbers by
    their size."""
    label_values: Literal["names", "indices"] = "names"
    """What a whole number in the label's column is, written 1, 1.0 or "1". names: the name of a class, like any text;
    indices: the place of a class in `labels`, counted from 0, while a text is still a name."""
    class_weights: Literal["balanced"] | tuple[PositiveFloat, ...] | None = None
    """How much each class counts in the loss, in the order of `labels`. balanced: the rarer a class is among the
    training rows, the more. Without it: all the same."""

    @model_validator(mode="after")
    def _labels_are_clear(self) -> Self:
        labels = self.labels
        if labels is None:
            if self.label_values == "indices":
                raise ValueError("'label_values' is \"indices\", which needs 'labels': indices of what?")
            return self
        names = places_of(labels)
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
        if (fault := _fault_of_weights(self.class_weights, labels)) is not None:
            raise ValueError(f"'class_weights' {fault}")
        return self

    @property
    @override
    def num_outputs(self) -> int:
        return len(self.known_labels())

    @property
    @override
    def weights(self) -> tuple[float, ...] | None:
        """`class_weights` of a task that is resolved."""
        return None if self.class_weights == "balanced" else self.class_weights

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With the labels of the training rows and their weights, and the metrics for them."""
        labels, weights = self.labels, self.class_weights
        if labels is None or weights == "balanced":
            found = self._found(rows)
            labels = self._labels_of(found) if labels is None else labels
            weights = self._balanced(found, labels) if weights == "balanced" else weights
        if (fault := _fault_of_weights(weights, labels)) is not None:
            raise RecipeError(f"[task] class_weights: {fault}")
        resolved = self.model_copy(update={"labels": labels, "class_weights": weights})
        return resolved.model_copy(
            update={"metrics": resolved.usual_metrics(), "headline": resolved.headline_score}
        )

    @abstractmethod
    def cells(self, value: object) -> Sequence[object]:
        """The cells of a field that each name a class. Raises ValueError for a field of another form."""

    @abstractmethod
    def balanced_weight(self, count: int, num_rows: int, num_classes: int) -> float:
        """The weight of a class that `count` of the rows have, at least one."""

    def index_of(self, cell: object) -> int:
        """The place of a class by its name or, where the task says so, by its index. Raises ValueError."""
        labels = self.known_labels()
        if (index := self._place(cell, places_of(labels))) is not None:
            return index
        if self.label_values == "indices":
            labels = tuple(f"{name} ({i})" for i, name in enumerate(labels))
        raise ValueError(f"label {shown(cell)} is none of {shown_names(labels)}")

    def known_labels(self) -> tuple[str, ...]:
        """The classes. Raises RecipeError where they are not known yet."""
        if self.labels is None:
            raise RecipeError(
                "[task] labels: they come from the training rows, which are not here", SetKey("task.labels")
            )
        return self.labels

    def _place(self, value: object, places: Mapping[str, int]) -> int | None:
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

    def _found(self, rows: Iterable[RawRow]) -> _Found:
        """What the rows that can be used say of classes; a bad row is said where rows are read."""
        found = _Found()
        for row in rows:
            try:
                self._texts(row)
                cells = self.cells(row.fields.get(self.label))
                found.add({name: cell for cell in cells if (name := name_of(cell))})
            except ValueError as error:
                found.fault = found.fault or str(error)
        return found

    def _labels_of(self, found: _Found) -> tuple[str, ...]:
        labels = found.labels()
        if not labels and found.fault:
            raise DataError(f"[task] label: no training row can be used: {found.fault}")
        if not labels:
            raise DataError(f"[task] label: no training row has a label in the column {self.label!r}")
        if len(labels) == 1:
            raise DataError(
                f"[task] label: every training row has the label {labels[0]!r} in the column {self.label!r}; there "
                f"must be two classes or more"
            )
        if len(labels) == (total := found.counts.total()) > _FEW_ROWS:
            raise DataError(
                f"[task] label: each of the {total:,} training rows has a label of its own in the column "
                f"{self.label!r}",
                SetKey("task.label", note="to the column of the classes"),
            )
        self._check_are_classes(labels)
        return tuple(sorted(labels, key=_order))

    def _balanced(self, found: _Found, labels: tuple[str, ...]) -> tuple[float, ...]:
        """Raises DataError for a class that no training row has."""
        places = places_of(labels)
        counts = Counter[int]()
        for name, count in found.counts.items():
            if (place := self._place(name, places)) is not None:
                counts[place] += count
        if none := [name for place, name in enumerate(labels) if not counts[place]]:
            raise DataError(
                f"[task] class_weights: no training row has the label {none[0]!r}, so nothing balances it",
                SetKey("task.class_weights", note="a number for each class"),
            )
        return tuple(
            self.balanced_weight(counts[place], found.num_rows, len(labels)) for place in range(len(labels))
        )

    def _check_are_classes(self, found: Iterable[str]) -> None:
        """Raises DataError for a label that could be meant twice, such as "-": SNLI says so that a row has none."""
        names = set(found)
        marks = [name for name in names if name.casefold() in _NO_CLASS]
        if "0" in names:  # they count, and -1 or 0.9 is no count
            marks += [name for name in names if not name.isdecimal() and number_of(name) is not None]
        if names & {"0", "1"}:
            marks += names & {"true", "false"}
        if marks:
            raise DataError(
                f"[task] label: {min(marks)!r} in the column {self.label!r} may be a class of its own, or not",
                SetKey("task.labels", note="to the classes; a row with another label is then a bad row"),
            )


@dataclass
class _Found:
    """The classes of some rows: how many have each, by name, and how it is spelt; and why the first bad
    row is none."""

    num_rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    spellings: dict[str, set[str]] = field(default_factory=dict)
    fault: str = ""

    def add(self, classes: Mapping[str, object]) -> None:
        """A row with the cells of its classes by name."""
        self.num_rows += 1
        self.counts.update(classes.keys())
        for name, cell in classes.items():
            self.spellings.setdefault(name, set()).add(_spelling(cell, name))

    def labels(self) -> list[str]:
        """Every class as the rows call it."""
        return [next(iter(only)) if len(only) == 1 else name for name, only in self.spellings.items()]


def _fault_of_weights(
    weights: Literal["balanced"] | tuple[float, ...] | None, labels: tuple[str, ...]
) -> str | None:
    if weights is None or weights == "balanced" or len(weights) == len(labels):
        return None
    return f"must have a number for each of the {len(labels)} classes ({shown_names(labels)}); got {len(weights)}"


@lru_cache
def places_of(labels: tuple[str, ...]) -> Mapping[str, int]:
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
