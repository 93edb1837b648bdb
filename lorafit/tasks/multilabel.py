"""Texts in classes, each in any number of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator
from typing_extensions import override

from lorafit.data.cells import shown
from lorafit.data.rows import Label
from lorafit.metrics import Kind
from lorafit.tasks.classes import ClassTask


class MultiLabel(ClassTask):
    """Give a text, or a pair of texts, any number of classes: none, one or several."""

    kind: ClassVar[str] = "multilabel"
    output: ClassVar[Kind] = "labels"

    label_separator: str | None = None
    """What stands between the classes in a text, such as ";" in `sports;politics`; an empty text has none. Without it:
    a field is a list, and in csv and tsv files a list in JSON."""

    @field_validator("label_separator")
    @classmethod
    def _is_something(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("must not be empty; without it a field is a list")
        return value

    @override
    def usual_metrics(self) -> tuple[str, ...]:
        return ("micro_f1", "macro_f1", "subset_accuracy") if self.metrics is None else self.metrics

    @override
    def cells(self, value: object) -> Sequence[object]:
        """Those of a list or, where there is a separator, of a text."""
        match value:
            case list() | tuple():
                return value
            case str() if self.label_separator is not None:
                return [part for part in value.split(self.label_separator) if part.strip()]
            case str() if value.lstrip().startswith("["):
                return _json_list(value)
        raise ValueError(
            f'{self.label}: expected a list of classes such as ["a", "b"], found {shown(value)}; the classes in a text '
            f"are told apart where 'task.label_separator' is set"
        )

    @override
    def balanced_weight(self, count: int, num_rows: int, num_classes: int) -> float:
        """Rows without the class for each row with it, so that both count the same; 1 where every row has it."""
        del num_classes
        return (num_rows - count) / count or 1.0

    @override
    def parse_label(self, value: object) -> tuple[int, ...]:
        chosen = {self.index_of(cell) for cell in self.cells(value)}
        return tuple(int(place in chosen) for place in range(len(self.known_labels())))

    @override
    def label_text(self, label: Label) -> tuple[str, ...]:
        """The names of those that it has."""
        match label:
            case tuple():
                return tuple(n for n, has in zip(self.known_labels(), label, strict=True) if has)
        raise TypeError(f"{label!r} is not a label of several classes")

    @override
    def is_unlabelled(self, value: object) -> bool:
        """An empty list says that there is none, and not that it is not known."""
        return value is None


def _json_list(text: str) -> list[object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise ValueError(f"expected a list of classes in JSON, found {shown(text)}")
    return value
