"""`lorafit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Json
from lorafit.imports import importing


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, finished or not.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The HTML file to write.", show_default="report.html in the run folder"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a page that shows a run: one HTML file that can be mailed, printed and kept."""
    with importing():
        from lorafit.display import Display
        from lorafit.page.one import write_run_page

    display = Display(json=json)
    for run in runs:
        path = write_run_page(run, output)
        display.print(f"wrote {path}", markup=False)
