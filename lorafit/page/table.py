"""The page of a table of the paper: our figures in it, beside the published ones."""

from __future__ import annotations

from pathlib import Path

from lorafit.files import write_text
from lorafit.page.render import render
from lorafit.paper import layout
from lorafit.paper.cells import RULES, TableReport
from lorafit.version import __version__


def write_table_page(report: TableReport, output: Path, note: str = "") -> Path:
    """Write the page of a table; `note` stands at its top. Returns where it is."""
    write_text(output, table_page(report, note))
    return output


def table_page(report: TableReport, note: str = "") -> str:
    """The page, as HTML."""
    cells = [cell for line in report.lines for cell in line.all_cells]
    filled = [cell for cell in cells if cell.value is not None]
    runs = {run.path: run for line in report.lines for cell in line.cells for run in cell.runs}
    sections = {
        "table": ("Table", True),
        "variants": ("Variants", bool(report.variants)),
        "counted": ("Runs", bool(runs)),
        "left-out": ("Left out", bool(report.left_out or report.notes)),
        "missing": ("Missing", bool(report.missing)),
    }
    return render(
        "table.html.jinja",
        version=__version__,
        report=report,
        note=note,
        layout=layout,
        rule=RULES[report.table.rule],
        num_cells=len(cells),
        num_filled=len(filled),
        num_within=sum(cell.verdict == "within" for cell in filled),
        num_better=sum(cell.verdict == "off" and cell.better for cell in filled),
        runs=runs.values(),
        sections=[(id, title) for id, (title, there) in sections.items() if there],
    )
