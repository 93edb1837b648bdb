"""What tasks with labels share: texts by column, and a label beside them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import field_validator, model_validator
from typing_extensions import override

from lorafit.data.cells import name_of, text_of
from lorafit.data.rows import Label, LabelRow, RawRow
from lorafit.metrics import Metric
from lorafit.metrics.scoring import find_metric
from lorafit.recipe import Split
from lorafit.tasks.base import Task
from lorafit.tasks.template import require_columns


class LabelTask(Task):
    """A label for one text or two."""

    text: str | tuple[str, ...] = "text"
    """Column of the text, or an array of two columns for a pair of texts."""
    label: str = "label"
    """Column of the label."""

    @field_validator("text")
    @classmethod
    def _one_or_two(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        columns = (value,) if isinstance(value, str) else value
        if len(columns) not in (1, 2) or len(set(columns)) < len(columns) or "" in columns:
            raise ValueError(
                f"must be a column, or an array of two; got {value if isinstance(value, str) else list(value)!r}"
            )
        return value

    @model_validator(mode="after")
    def _label_is_no_text(self) -> Self:
        if self.label in self.texts:
            raise ValueError(f"'label' and 'text' are the same column {self.label!r}")
        return self

    @property
    def weights(self) -> tuple[float, ...] | None:
        """How much each class counts in the loss; None: all the same."""
        return None

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of the texts, in the order in which the model reads them."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @override
    def find_metrics(self, names: Sequence[str] | None) -> list[Metric[Any, Any]]:
        return [find_metric(name, self.output) for name in (self.usual_metrics() if names is None else names)]

    @abstractmethod
    def usual_metrics(self) -> tuple[str, ...]:
        """`metrics`, or what they are without any."""

    @abstractmethod
    def parse_label(self, value: object) -> Label:
        """A field -> the label. Raises ValueError for anything else."""

    def parse_answer(self, value: object) -> Label:
        """A system's answer, which may be a score that no row has. Raises ValueError for anything else."""
        return self.parse_label(value)

    @override
    def columns(self, split: Split) -> tuple[str, ...]:
        label = () if split == "test" else (self.label,)
        return (*self.texts, *label, *(() if self.part is None else (self.part,)))

    @property
    @override
    def input_columns(self) -> tuple[str, ...]:
        return self.texts

    @override
    def key(self, row: RawRow) -> str:
        return "\x1f".join(self._texts(row).values())

    @override
    def parse(self, row: RawRow, split: Split) -> LabelRow:
        texts, value = self._texts(row), row.fields.get(self.label)
        label = None if split == "test" and self.is_unlabelled(value) else self.parse_label(value)
        return LabelRow(texts, label, self.part_of(row))

    @override
    def parse_input(self, given: str | Mapping[str, object]) -> LabelRow:
        """A text is that of the only column."""
        if isinstance(given, str):
            if len(self.texts) > 1:
                raise ValueError(f"the task reads {' and '.join(self.texts)}, and this is one text")
            given = {self.texts[0]: given}
        require_columns(self.input_columns, given)
        return LabelRow(self._texts(RawRow(1, given)), None)

    def is_unlabelled(self, value: object) -> bool:
        """Whether a test split says that it tells no label: nothing, or -1 where that is no label of the task."""
        try:
            name = name_of(value)
        except ValueError:
            return False
        if name != "-1":
            return name == ""
        try:
            self.parse_label(value)
        except ValueError:
            return True
        return False

    def _texts(self, row: RawRow) -> dict[str, str]:
        texts = {column: text_of(column, row.fields.get(column)) for column in self.texts}
        if not any(text.strip() for text in texts.values()):
            raise ValueError(f"{' and '.join(texts)}: empty")
        return texts
