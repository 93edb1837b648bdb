"""`lorafit doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from lorafit.cli.options import Json
from lorafit.imports import importing


def doctor(
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the hub has to answer.")] = 3.0,
    json: Json = False,
) -> None:
    """Show what this machine has: versions, device and its measured speed, folders, the hub, Java.

    Something that is missing is no error: most of it is wanted for one thing alone.
    """
    with importing():
        from lorafit.display import Display
        from lorafit.display.doctor import show_findings
        from lorafit.verbs.doctor import examine

    show_findings(Display(json=json), examine(timeout))
