"""The paper's tables with our figures in them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.paper import layout
from lorafit.paper.cells import RULES, Cell, Line, TableReport
from lorafit.paper.reruns import WARNINGS

if TYPE_CHECKING:
    from lorafit.paper.table import Explanation

_COLOURS = {"within": "green", "off": "yellow", "not run": "dim", "not published": ""}
_MOST_COMMANDS = 12


def show_table(display: Display, report: TableReport, form: str) -> None:
    """The table in one of the formats of `lorafit table`."""
    if display.json or form == "json":
        display.print_json(layout.to_json(report))
    elif form in layout.FORMATS:
        sys.stdout.write(layout.FORMATS[form](report))
    else:
        _show_rich(display, report)


def show_explanation(display: Display, explanation: Explanation) -> None:
    """Show where the figures of a cell come from."""
    if display.json:
        display.print_json(_explanation_json(explanation))
        return
    report, line = explanation.report, explanation.line
    display.print(f"Table {report.table.number}, {escape(line.row.label)}, {explanation.task}")
    display.print(f"rule: {RULES[report.table.rule]}")
    for cell in explanation.cells:
        seeds = ", ".join(f"{v:.{cell.column.digits + 1}f}" for v in cell.values) or "nothing"
        display.print(f"\n{cell.column.name}: {layout.ours(cell)} from {seeds}")
        display.print(f"  the paper's: {layout.published(cell)}; {layout.verdict_text(cell)}")
        for rerun in cell.reruns:
            setting = f", {rerun.setting}" if rerun.setting else ""
            display.print(f"  others:      {rerun.value:g} ({escape(rerun.source)}{setting})")
    if warning := WARNINGS.get((report.table.number, line.row.label, explanation.task)):
        display.print(f"\nothers found: {warning}")
    runs = {run.path: run for cell in explanation.cells for run in cell.runs}
    for run in runs.values():
        display.print(f"\nseed {run.seed}: {escape(str(run.path))}")
        display.print(
            f"  adapter sha256 {run.adapter_sha256}, of step {run.step}\n  recipe  sha256 {run.recipe_hash}"
        )
        for change in run.changed:
            display.print(f"  changed {escape(change)}")
    for path, why in _left_out(explanation):
        display.print(f"\nleft out: {escape(path)}: {escape(why)}")
    recipe = explanation.cells[0].recipe if explanation.cells else None
    if recipe and not runs:
        display.print(f"\nfill it with: {layout.fill_command(recipe)}")


def _left_out(explanation: Explanation) -> list[tuple[str, str]]:
    label, task = explanation.line.row.label, explanation.task
    return [
        (str(entry.run.path), entry.why)
        for entry in explanation.report.left_out
        if entry.run.cell is not None and entry.run.cell[1:] == (label, task)
    ]


def _explanation_json(explanation: Explanation) -> dict[str, object]:
    cells = explanation.cells
    runs = {str(run.path): run for cell in cells for run in cell.runs}
    return {
        "table": explanation.report.table.number,
        "row": explanation.line.row.label,
        "task": explanation.task,
        "rule": RULES[explanation.report.table.rule],
        "recipe": cells[0].recipe if cells else None,
        "figures": [
            {
                "column": cell.column.name,
                "ours": cell.value,
                "std": cell.std,
                "values": list(cell.values),
                "paper": cell.published.value if cell.published else None,
                "paper_margin": cell.published.margin if cell.published else None,
                "verdict": cell.verdict,
                "band": cell.band,
                "reruns": [vars(rerun) for rerun in cell.reruns],
            }
            for cell in cells
        ],
        "runs": [
            {
                "run": path,
                "seed": run.seed,
                "adapter_sha256": run.adapter_sha256,
                "recipe_hash": run.recipe_hash,
                "step": run.step,
                "changed": list(run.changed),
            }
            for path, run in runs.items()
        ],
        "left_out": [{"run": path, "why": why} for path, why in _left_out(explanation)],
    }


def _show_rich(display: Display, report: TableReport) -> None:
    title = f"Table {report.table.number}: {report.table.caption}"
    grid = Table("", "trained", "", *layout.headings(report), box=None, header_style="bold", title=title)
    model = None
    for line in report.lines:
        if model is not None and line.row.model != model:
            grid.add_row()
        model = line.row.model
        _add_line(grid, line, line.row.num_trained)
    display.print_wide(grid)
    if report.variants:
        names = [column.name for column in report.table.variant_columns]
        second = Table(
            "", "", "", *names, box=None, header_style="bold", title="as the authors' README prints it"
        )
        for line in report.variants:
            _add_line(second, line, "")
        display.print_wide(second)
    display.print(f"\nours: {RULES[report.table.rule]}")
    display.print(
        "within: ours, rounded, lies in the published ± (without a ±: is the same); * from prior work"
    )
    for entry in report.left_out:
        display.print(f"left out: {escape(str(entry.run.path))}: {escape(entry.why)}", style="yellow")
    for note in report.notes:
        display.print(f"note: {escape(note)}", style="yellow")
    _show_missing(display, report)


def _add_line(grid: Table, line: Line, num_trained: str) -> None:
    cells = line.all_cells
    title = escape(layout.method_title(line))
    if not line.started:
        grid.add_row(title, num_trained, "paper", *(f"[dim]{layout.published(c)}[/]" for c in cells))
        return
    grid.add_row(title, num_trained, "ours", *(f"[bold]{layout.ours(cell)}[/]" for cell in cells))
    grid.add_row("", "", "paper", *(layout.published(cell) for cell in cells))
    grid.add_row("", "", "", *map(_verdict, cells))


def _verdict(cell: Cell) -> str:
    colour = "green" if cell.verdict == "off" and cell.better else _COLOURS[cell.verdict]
    return f"[{colour}]{layout.verdict_text(cell)}[/]" if colour else layout.verdict_text(cell)


def _show_missing(display: Display, report: TableReport) -> None:
    if not report.missing:
        return
    display.print(
        f"\n{len(report.missing)} recipes have not been run; `lorafit repro table{report.table.number}` runs all:"
    )
    for name in report.missing[:_MOST_COMMANDS]:
        display.print(f"  {layout.fill_command(name)}")
    if len(report.missing) > _MOST_COMMANDS:
        display.print(f"  … and {len(report.missing) - _MOST_COMMANDS} more (the JSON form lists all)")
