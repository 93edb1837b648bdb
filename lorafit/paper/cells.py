"""Runs -> the cells of a table: seeds aggregated by the paper's rule, and compared with what was published."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lorafit.paper.published import Column, Figure, PaperTable, Row, Rule
from lorafit.paper.reruns import RERUNS, Rerun
from lorafit.paper.runs import CellKey, RunRecord

Verdict = Literal["within", "off", "not run", "not published"]

Band = Literal["as in the paper", "as others get", "wrong"]
"""Where a figure lies; only for cells that others have published figures of."""

RULES: dict[Rule, str] = {
    "median": "median over seeds of the best epoch on the development set, ± standard deviation",
    "mean": "mean over seeds of the test scores of the best epoch, ± standard deviation",
}


@dataclass(frozen=True)
class Cell:
    """A figure of ours beside the published one, both on the paper's scale.

    `runs` are those that count, one a seed; `recipe` is the shipped recipe that fills the cell.
    """

    column: Column
    published: Figure | None
    runs: tuple[RunRecord, ...]
    values: tuple[float, ...]
    value: float | None
    std: float | None
    recipe: str | None
    reruns: tuple[Rerun, ...] = ()

    @property
    def band(self) -> Band | None:
        """As in the paper: within the published ±, or better; as others get: between the paper's figure and theirs,
        give or take that ±. None where others have published nothing, or we have nothing.
        """
        if not self.reruns or self.value is None or self.published is None:
            return None
        if self.verdict == "within" or self.better:
            return "as in the paper"
        margin, ours = self.published.margin or 0.0, round(self.value, self.column.digits)
        others = [rerun.value for rerun in self.reruns] + [self.published.value]
        between = min(others) - margin - 1e-9 <= ours <= max(others) + margin + 1e-9
        return "as others get" if between else "wrong"

    @property
    def difference(self) -> float | None:
        """Our figure minus the paper's, ours rounded as the paper rounds; None without both."""
        if self.value is None or self.published is None:
            return None
        return round(round(self.value, self.column.digits) - self.published.value, self.column.digits)

    @property
    def verdict(self) -> Verdict:
        """Within: our figure, rounded as the paper rounds, lies in the published ±; without a ± it is the same."""
        if self.value is None:
            return "not run"
        if self.published is None or self.difference is None:
            return "not published"
        return "within" if abs(self.difference) <= (self.published.margin or 0.0) + 1e-9 else "off"

    @property
    def better(self) -> bool:
        """Whether our figure is better than the paper's."""
        return (self.difference or 0.0) * (1 if self.column.higher_is_better else -1) > 0


@dataclass(frozen=True)
class Line:
    """A row with its cells; `average` is the mean of all cells where the table has such a column."""

    row: Row
    cells: tuple[Cell, ...]
    average: Cell | None = None

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """The cells as printed, the average last."""
        return (*self.cells, self.average) if self.average else self.cells

    @property
    def started(self) -> bool:
        """Whether any cell has a figure of ours."""
        return any(cell.value is not None for cell in self.cells)


@dataclass(frozen=True)
class LeftOut:
    """A run of the table that does not count, and why."""

    run: RunRecord
    why: str


@dataclass(frozen=True)
class TableReport:
    """The whole table. `missing` are the recipes of cells without a figure, in order; `notes` say which runs of a task
    were not scored on the same rows."""

    table: PaperTable
    lines: tuple[Line, ...]
    variants: tuple[Line, ...]
    left_out: tuple[LeftOut, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def build_report(
    table: PaperTable,
    runs: Sequence[RunRecord],
    recipes: Mapping[CellKey, str],
    *,
    include_changed: bool = False,
    excluded: Mapping[Path, str] | None = None,
) -> TableReport:
    """The report on a table.

    `recipes` are the shipped ones by the cell they fill; `excluded` says of runs why they do not count. Another run
    counts when it is finished, it is the first of its seed, and its recipe is the cell's; with `include_changed`, also
    when its recipe was changed.
    """
    counted, left_out = _choose(table, runs, include_changed, excluded or {})
    lines = tuple(_line(table, row, table.columns, counted, recipes) for row in table.rows)
    variants = tuple(_line(table, row, table.variant_columns, counted, recipes) for row in table.variants)
    missing = dict.fromkeys(
        cell.recipe for line in lines for cell in line.cells if cell.value is None and cell.recipe
    )
    return TableReport(table, lines, variants, tuple(left_out), tuple(missing), tuple(_notes(counted)))


def cell_key(table: PaperTable, label: str, task: str) -> CellKey:
    """The cell whose runs fill a cell, mostly itself: Table 18 takes its row r = 4 from Table 3."""
    number, row = table.same_run.get(label, (table.number, label))
    return number, row, task


def _choose(
    table: PaperTable, runs: Sequence[RunRecord], include_changed: bool, excluded: Mapping[Path, str]
) -> tuple[dict[CellKey, list[RunRecord]], list[LeftOut]]:
    wanted = {cell_key(table, row.label, task) for row in table.rows for task in table.tasks}
    counted: dict[CellKey, list[RunRecord]] = {}
    left_out = []
    for run in runs:
        if run.cell is None or run.cell not in wanted:
            continue
        same = counted.setdefault(run.cell, [])
        twin = next((other for other in same if other.seed == run.seed), None)
        if not run.finished:
            left_out.append(LeftOut(run, "not finished"))
        elif run.path in excluded:
            left_out.append(LeftOut(run, excluded[run.path]))
        elif run.changed and not include_changed:
            left_out.append(LeftOut(run, f"not the paper's recipe: {'; '.join(run.changed)}"))
        elif twin is not None:
            left_out.append(LeftOut(run, f"seed {run.seed} is counted already, from {twin.path}"))
        else:
            same.append(run)
    return counted, left_out


def _notes(counted: Mapping[CellKey, Sequence[RunRecord]]) -> list[str]:
    """A line for each task whose figures cannot be compared, since they come from different rows."""
    by_task: dict[str, dict[str, RunRecord]] = {}
    for (_, _, task), runs in counted.items():
        by_task.setdefault(task, {}).update({run.scored_rows: run for run in runs if run.scored_rows})
    found = [(task, list(runs.values())) for task, runs in by_task.items() if len(runs) > 1]
    return [
        f"{task}: the runs were scored on different rows, such as {runs[0].path} and {runs[1].path}"
        for task, runs in found
    ]


def _line(
    table: PaperTable,
    row: Row,
    columns: Sequence[Column],
    counted: Mapping[CellKey, Sequence[RunRecord]],
    recipes: Mapping[CellKey, str],
) -> Line:
    cells = []
    for column, figure in zip(columns, row.figures, strict=False):
        key = cell_key(table, row.label, column.task)
        reruns = RERUNS.get((*key, column.score), ())
        cell = _cell(column, figure, counted.get(key, []), recipes.get(key), table.rule)
        cells.append(replace(cell, reruns=reruns))
    average = None
    if table.average and columns is table.columns:
        average = _average(table, row, cells)
    return Line(row, tuple(cells), average)


def _cell(
    column: Column, figure: Figure | None, runs: Sequence[RunRecord], recipe: str | None, rule: Rule
) -> Cell:
    used = tuple(sorted((run for run in runs if column.score in run.scores), key=lambda run: run.seed))
    values = tuple(run.scores[column.score] * column.factor for run in used)
    return Cell(column, figure, used, values, aggregate(values, rule), spread(values), recipe)


def _average(table: PaperTable, row: Row, cells: Sequence[Cell]) -> Cell:
    values = [cell.value for cell in cells]
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if len(known) == len(values) else None
    column = Column(table.average, "", "", 1, table.columns[0].digits)
    return Cell(column, row.figures[len(cells)], (), (), mean, None, None)


def aggregate(values: Sequence[float], rule: Rule) -> float | None:
    """One figure of several seeds; None of none."""
    if not values:
        return None
    return statistics.median(values) if rule == "median" else statistics.fmean(values)


def spread(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None of fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else None
