"""`lorafit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.completion import complete_run
from lorafit.cli.options import Json
from lorafit.cli.parsing import parse_table
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
            "--output",
            "-o",
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
        from lorafit.page.write import write_page, write_paper_page

    display = Display(json=json)
    with display.working("drawing"):
        if table is None:
            page = write_page(runs, output)
        else:
            page = write_paper_page(parse_table(table), runs, output, include_changed=include_changed)
    if json:
        display.print_json({"page": str(page)})
        return
    display.print(f"wrote {page}", markup=False)
