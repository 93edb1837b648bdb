"""Tasks whose answer is a class or a score: rows of one text or two, and a label."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.data import LabelRow, Split
from lorafit.data.tables import Column, Row, convert_rows, read_table
from lorafit.errors import NotFoundError
from lorafit.files import local_path
from lorafit.metrics import Metric
from lorafit.metrics.scoring import find_metric
from lorafit.recipe import DataSection
from lorafit.tasks.base import Task, Tell, ignore

_UNLABELLED = (None, "", "-1", -1, -1.0)  # what a test split says in place of a label


@dataclass(frozen=True)
class Source:
    """Rows that lie somewhere, as `where` says it to a reader, and the part of the split that they are."""

    where: str
    rows: Iterator[Row]
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelTask(Task):
    """Texts to classify, or to score where there are no `labels`."""

    texts: tuple[Column, ...]
    label: Column
    metrics: tuple[str, ...]  # names in METRICS
    bare_header: tuple[str, ...] = ()  # of TSV files that have no header line
    score_range: tuple[float, float] = (-math.inf, math.inf)

    scored_split: Split = "valid"  # GLUE keeps the labels of its test splits to itself

    @abstractmethod
    def sources(self, data: DataSection, split: Split) -> Iterator[Source]:
        """Where the rows of a split are. Raises NotFoundError when they are not there."""

    def read(self, data: DataSection, split: Split, tell: Tell = ignore) -> list[LabelRow]:
        """The examples of all sources, in order. In the test split a label may be missing."""

        def example(fields: dict[str, Any], part: str) -> LabelRow:
            label = fields.get(self.label.name)
            unknown = split == "test" and label in _UNLABELLED
            return LabelRow(self._texts(fields), None if unknown else self.parse_label(label), part)

        examples: list[LabelRow] = []
        for source in self.sources(data, split):
            examples += convert_rows(
                source.where,
                source.rows,
                lambda fields, part=source.part: example(fields, part),  # type: ignore[misc]
                skip=data.on_bad_row == "skip",
                tell=tell,
            )
        return examples

    def find_metrics(self, names: Sequence[str] | None) -> list[Metric[Any, Any]]:
        """Those of the task, or those named."""
        return [find_metric(name, self.output) for name in (self.metrics if names is None else names)]

    def parse_label(self, value: Any) -> float:
        """The index of a class by its name or number, or a score. Raises ValueError for anything else."""
        if self.labels is None:
            return self._parse_score(value)
        if isinstance(value, str) and value in self.labels:
            return self.labels.index(value)
        number = int(value) if isinstance(value, int | float) or str(value).strip().isdecimal() else -1
        if isinstance(value, bool) or number not in range(len(self.labels)):
            known = ", ".join(f"{name} ({i})" for i, name in enumerate(self.labels))
            raise ValueError(f"label {value!r} is none of {known}")
        return number

    def label_text(self, label: float) -> str | float:
        """The name of a class; a score as it is."""
        return self.labels[int(label)] if self.labels else float(label)

    def columns(self, split: Split) -> tuple[Column, ...]:
        """The columns that a file of a split must or may have."""
        return (*self.texts, Column(self.label.name, self.label.aliases, required=split != "test"))

    def file_source(self, path: Path, split: Split, part: str = "") -> Source:
        """The rows of a local file."""
        return Source(str(path), read_table(path, self.columns(split), self.bare_header), part)

    def named_source(self, data: DataSection, split: Split) -> Source | None:
        """The file that `data.<split>` names, if it names one."""
        named: str | None = getattr(data, split)
        if named is None:
            return None
        path = local_path(named)
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file (data.{split})")
        return self.file_source(path, split)

    def _texts(self, fields: dict[str, Any]) -> dict[str, str]:
        texts = {column.name: fields[column.name] for column in self.texts}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise ValueError(f"{name}: expected a text, found {text!r}")
        if not any(text.strip() for text in texts.values()):
            raise ValueError(f"{' and '.join(texts)}: empty")
        return texts

    def _parse_score(self, value: Any) -> float:
        low, high = self.score_range
        try:
            score = float(value)
        except (TypeError, ValueError):
            score = math.nan
        if isinstance(value, bool) or not low <= score <= high or math.isinf(score):
            raise ValueError(f"{self.label.name} {value!r} is not a number from {low:g} to {high:g}")
        return score
