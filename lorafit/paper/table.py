"""Run folders -> a table of the paper with our figures in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.errors import lookup
from lorafit.paper import TABLES, PaperTable
from lorafit.paper.cells import Cell, Line, TableReport, build_report
from lorafit.paper.runs import CellKey, RunRecord, find_runs
from lorafit.recipe import Recipe, differing_keys, list_recipes
from lorafit.run.recipes import open_recipe

# Beside what `differing_keys` leaves out: keys that say where things are and what else is scored.
INCIDENTAL = {
    "data.dir",
    "data.train",
    "data.valid",
    "data.test",
    "train.seed",
    "eval.metrics",
    "eval.score_base",
}


@dataclass(frozen=True)
class Explanation:
    """Where figures come from: `cells` are those of one task in one row."""

    report: TableReport
    line: Line
    task: str
    cells: tuple[Cell, ...]


def table(
    number: str, runs_dir: Path, *, include_changed: bool = False, left_out: Mapping[Path, str] | None = None
) -> TableReport:
    """The report on a table of the paper. A runs folder that does not exist yet holds no runs. `left_out` says of runs
    that shall not count why.

    Raises RecipeError for an unknown table, DataError for a run folder that cannot be read.
    """
    paper_table = find_table(number)
    recipes = recipes_by_cell()
    runs = [_compared(run, recipes) for run in find_runs(runs_dir)] if runs_dir.exists() else []
    return build_report(paper_table, runs, recipes, include_changed=include_changed, excluded=left_out or {})


def find_table(number: str) -> PaperTable:
    """The paper's table of that number. Raises RecipeError for an unknown one."""
    return lookup(TABLES, number, "table")


def recipes_by_cell() -> dict[CellKey, str]:
    """(table, row, task) -> the shipped recipe that fills it."""
    return {
        (summary.table, summary.row, summary.task): summary.name
        for summary in list_recipes()
        if summary.table is not None and summary.row is not None
    }


def explain(report: TableReport, row: str, task: str) -> Explanation:
    """The cells of a row (by its label) and a task. Raises RecipeError for one that the table does not have."""
    where = f"Table {report.table.number}"
    lines = {line.row.label: line for line in report.lines}
    label = next((label for label in lines if label.lower() == row.lower()), row)
    line = lookup(lines, label, "row", where=where)
    lookup(dict.fromkeys(report.table.tasks), task.lower(), "task", where=where)
    cells = tuple(cell for cell in line.cells if cell.column.task == task.lower())
    return Explanation(report, line, task.lower(), cells)


def _compared(run: RunRecord, recipes: dict[CellKey, str]) -> RunRecord:
    """The run, with the differences between its recipe and its cell's."""
    if run.cell is None:
        return run
    name = recipes.get(run.cell)
    if name is None:
        return replace(run, changed=("no recipe is shipped for this cell",))
    ours = open_recipe(run.path / "recipe.toml")
    theirs = open_recipe(name)
    return replace(run, changed=tuple(changes(ours, theirs)))


def changes(ours: Recipe, theirs: Recipe) -> list[str]:
    """The keys in which a run's recipe differs from a shipped one, except those that do not decide the result.

    Whether there is a warm start counts; where its adapter lies does not.
    """
    lines = []
    for line in differing_keys(ours, theirs):
        key, _, values = line.partition(": ")
        moved = key == "method.init_from" and "None" not in values.split(" -> ")
        if key not in INCIDENTAL and not moved:
            lines.append(line)
    return lines
