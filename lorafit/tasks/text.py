"""Texts of any length, of which every token is learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from typing_extensions import override

from lorafit.data.cells import text_of
from lorafit.data.readers.plain_text import GOES_ON
from lorafit.data.rows import DocumentRow, RawRow
from lorafit.errors import RecipeError
from lorafit.metrics import Metric
from lorafit.metrics.scoring import find_metric
from lorafit.recipe import Split
from lorafit.tasks.base import WritingTask
from lorafit.tasks.template import require_columns


class Text(WritingTask):
    """Go on with a text. Every token is learned; a longer text is cut into examples of `data.max_length` tokens."""

    kind: ClassVar[str] = "text"

    text: str = "text"
    """Column of the text; of a plain file (.txt), each passage is one."""

    @override
    def find_metrics(self, names: Sequence[str] | None) -> list[Metric[Any, Any]]:
        chosen = self.metrics if names is None else names
        metrics = [find_metric(name, "text") for name in chosen or ("perplexity",)]
        for metric in metrics:
            if metric.reads != "evidence":
                raise RecipeError(
                    f"metric {metric.name!r} compares texts, and the task text writes none: it says how likely the "
                    f"given ones are"
                )
        return metrics

    @override
    def columns(self, split: Split) -> tuple[str, ...]:
        return (self.text,) if self.part is None else (self.text, self.part)

    @property
    @override
    def input_columns(self) -> tuple[str, ...]:
        return (self.text,)

    @override
    def key(self, row: RawRow) -> str:
        text = text_of(self.text, row.fields.get(self.text))
        if not text.strip():
            raise ValueError(f"{self.text}: empty")
        return text

    @override
    def parse(self, row: RawRow, split: Split) -> DocumentRow:
        return DocumentRow(self.key(row), self.part_of(row), row.fields.get(GOES_ON) is True)

    @override
    def parse_input(self, given: str | Mapping[str, object]) -> DocumentRow:
        """A text is the beginning of one."""
        fields = {self.text: given} if isinstance(given, str) else given
        require_columns(self.input_columns, fields)
        return DocumentRow(self.key(RawRow(1, fields)), goes_on=True)

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With its headline."""
        return self.model_copy(update={"headline": self.headline_score})
