"""The form of a published table: columns that say which score of which task they show, and rows of figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Rule = Literal["median", "mean"]
"""How the paper makes one figure of several seeds."""


@dataclass(frozen=True)
class Figure:
    """A published figure; `margin` is what stands behind its ±, None where the paper gives none."""

    value: float
    margin: float | None = None


@dataclass(frozen=True)
class Column:
    """Shows `score` (a flattened key of scores.json) of the runs of `task`, times `factor`, with `digits` decimals."""

    title: str
    task: str
    score: str
    factor: float
    digits: int
    group: str = ""
    higher_is_better: bool = True

    @property
    def name(self) -> str:
        """The title in full: `BLEU U`."""
        return f"{self.group} {self.title}".strip()


@dataclass(frozen=True)
class Row:
    """A line of a table. `label` names it uniquely: it is what a recipe's `paper.row` says."""

    label: str
    model: str
    method: str  # without its marks
    marks: str  # "*" and "†"
    num_trained: str  # as printed
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper. `variants` are the same cells as the authors' README prints them."""

    number: str
    caption: str
    rule: Rule
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    average: str = ""  # title of a last column with the mean of all others
    variant_columns: tuple[Column, ...] = ()
    variants: tuple[Row, ...] = ()
    same_run: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Row -> (table, row) whose runs are the same experiment."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the columns, in order."""
        return tuple(dict.fromkeys(column.task for column in self.columns))

    def row(self, label: str) -> Row:
        """The row of that label. Raises KeyError."""
        return next(row for row in self.rows if row.label == label)

    def scores(self, label: str, task: str) -> dict[str, float]:
        """The published figures of a cell as a recipe's `paper.scores` holds them: on the scale of scores.json."""
        figures = zip(self.columns, self.row(label).figures, strict=False)
        return {
            column.score: round(figure.value / column.factor, 6)
            for column, figure in figures
            if figure is not None and column.task == task and not column.score.startswith("validation.")
        }


def read_rows(text: str, *, num_figures: int) -> tuple[Row, ...]:
    """Lines of `model | method marks | trained | figure | …`; a figure reads `87.1±.3`, `2.47` or `-`.

    The label is `model (method marks)`, with the number of trained parameters where that would be ambiguous; `*` is
    no part of it.
    """
    lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    names = [(model, method.removesuffix("*").strip()) for model, method, *_ in lines]
    count = Counter(names)
    rows = []
    for (model, method, num_trained, *figures), name in zip(lines, names, strict=True):
        if len(figures) != num_figures:
            raise ValueError(f"{model} | {method} has {len(figures)} figures instead of {num_figures}")
        size = f" {num_trained}" if count[name] > 1 else ""
        base, _, marks = method.partition(" ") if method[-1] in "*†" else (method, "", "")
        label = f"{model} ({name[1].removesuffix('†').strip()}{size}{' †' if '†' in marks else ''})"
        rows.append(Row(label, model, base, marks, num_trained, tuple(map(_figure, figures))))
    return tuple(rows)


def _figure(text: str) -> Figure | None:
    value, _, margin = text.partition("±")
    return None if text == "-" else Figure(float(value), float(margin) if margin else None)
