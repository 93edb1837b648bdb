"""`lorafit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.completion import complete_run
from lorafit.cli.options import Json
from lorafit.cli.parsing import parse_table
from lorafit.errors import Advice, RecipeError
from lorafit.imports import importing


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, finished or not; folders of runs, such as runs/quickstart; folders of sweeps.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The HTML file to write.",
            show_default="report.html, of one run in its folder",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="A table of the paper (2, 3, 13, 14 or 18) with the finished runs of one folder in it.",
            show_default=False,
        ),
    ] = None,
    include_changed: Annotated[
        bool,
        typer.Option("--include-changed", help="With --table, also count runs whose recipe was changed."),
    ] = False,
    json: Json = False,
) -> None:
    """Write a page that shows a run, or compares several: one HTML file that can be mailed, printed and kept."""
    with importing():
        from lorafit.display import Display

    page = _table(table, runs, output, include_changed) if table is not None else _runs(runs, output)
    display = Display(json=json)
    if json:
        display.print_json({"page": str(page)})
        return
    display.print(f"wrote {page}", markup=False)


def _runs(runs: list[Path], output: Path | None) -> Path:
    with importing():
        from lorafit.page.one import write_run_page
        from lorafit.page.several import write_several
        from lorafit.run.files.paths import RunPaths

    if len(runs) == 1 and RunPaths(runs[0]).recipe.is_file():
        return write_run_page(runs[0], output)
    return write_several(runs, output or Path("report.html"))


def _table(number: str, runs: list[Path], output: Path | None, include_changed: bool) -> Path:
    with importing():
        from lorafit.page.table import write_table_page
        from lorafit.paper.table import table as build

    if len(runs) > 1:
        raise RecipeError(
            f"a table has the runs of one folder, and {len(runs)} are named",
            Advice("name one folder that holds them"),
        )
    report = build(parse_table(number), runs[0], include_changed=include_changed)
    note = "Runs whose recipe was changed are counted, too." if include_changed else ""
    return write_table_page(report, output or Path("report.html"), note)
