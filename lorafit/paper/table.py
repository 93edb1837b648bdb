"""Runs -> a table of the paper with our figures in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lorafit.errors import RecipeError, did_you_mean
from lorafit.paper import TABLES, PaperTable
from lorafit.paper.cells import Cell, CellKey, Line, TableReport, build_report
from lorafit.paper.runs import Run, find_runs
from lorafit.recipe import Recipe, differing_keys, list_recipes
from lorafit.run.recipes import open_recipe

# Keys that say where things are and how the work is cut up, not what comes out.
INCIDENTAL = {
    "data.dir",
    "data.train",
    "data.valid",
    "data.test",
    "train.seed",
    "train.micro_batch_size",
    "train.log_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.max_oom_retries",
    "train.parallel",
    "train.gradient_checkpointing",
    "eval.batch_size",
    "eval.metrics",
    "eval.score_base",
}


@dataclass(frozen=True)
class Explanation:
    """How a cell came about: `cells` are the columns of one task in one row."""

    report: TableReport
    line: Line
    task: str
    cells: tuple[Cell, ...]


def table(number: str, runs_dir: Path, *, include_changed: bool = False) -> TableReport:
    """The report on a table of the paper. A runs folder that does not exist yet holds no runs.

    Raises RecipeError for a table that is not one of ours, NotFoundError for a run folder that cannot be read.
    """
    paper_table = find_table(number)
    recipes = recipes_by_cell()
    runs = [_compared(run, recipes) for run in find_runs(runs_dir)] if runs_dir.exists() else []
    return build_report(paper_table, runs, recipes, include_changed=include_changed)


def find_table(number: str) -> PaperTable:
    """The paper's table of that number."""
    if number not in TABLES:
        raise RecipeError(
            f"no table {number!r}; lorafit knows {', '.join(TABLES)}{did_you_mean(number, TABLES)}"
        )
    return TABLES[number]


def recipes_by_cell() -> dict[CellKey, str]:
    """(table, row, task) -> the shipped recipe that stands for it."""
    return {
        (summary.table, summary.row, summary.task): summary.name
        for summary in list_recipes()
        if summary.table is not None and summary.row is not None
    }


def explain(report: TableReport, where: str) -> Explanation:
    """The cell that `ROW/TASK` names. Raises RecipeError for one that the table does not have."""
    label, slash, task = where.rpartition("/")
    if not slash:
        raise RecipeError(f"--explain {where}: must read ROW/TASK, such as {report.lines[0].row.label!r}/…")
    lines = {line.row.label.lower(): line for line in report.lines}
    line = lines.get(label.strip().lower())
    if line is None:
        hint = did_you_mean(label, [line.row.label for line in report.lines])
        rows = ", ".join(repr(line.row.label) for line in report.lines)
        raise RecipeError(
            f"--explain {where}: Table {report.table.number} has no row {label!r}{hint or '; rows: ' + rows}"
        )
    if task.lower() not in report.table.tasks:
        tasks = report.table.tasks
        raise RecipeError(
            f"--explain {where}: no task {task!r}; one of {', '.join(tasks)}{did_you_mean(task, tasks)}"
        )
    cells = tuple(cell for cell in line.cells if cell.column.task == task.lower())
    return Explanation(report, line, task.lower(), cells)


def _compared(run: Run, recipes: dict[CellKey, str]) -> Run:
    """The run with what its recipe has changed of its cell's."""
    if run.cell is None:
        return run
    name = recipes.get(run.cell)
    if name is None:
        return replace(run, changed=("no shipped recipe stands for this cell",))
    ours = open_recipe(run.path / "recipe.toml")
    theirs = open_recipe(name)
    return replace(run, changed=tuple(changes(ours, theirs)))


def changes(ours: Recipe, theirs: Recipe) -> list[str]:
    """The keys in which a run's recipe differs from a shipped one, those aside that decide no result.

    Whether there is a warm start counts; where its adapter lies does not.
    """
    lines = []
    for line in differing_keys(ours, theirs):
        key, _, values = line.partition(": ")
        moved = key == "method.init_from" and "None" not in values.split(" -> ")
        if key not in INCIDENTAL and not moved:
            lines.append(line)
    return lines
