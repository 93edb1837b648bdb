"""`lorafit fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Debug, Json, Overrides, Unset, all_overrides


def fetch(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE...", help="Recipe files, or names of shipped recipes.", show_default=False
        ),
    ],
    overrides: Overrides = None,
    unset: Unset = None,
    lock: Annotated[Path, typer.Option(help="Where to write down what was brought.")] = Path("lorafit.lock"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Bring nothing; list all that is missing or not what the lock says."),
    ] = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Bring base, tokenizer and data of recipes into the caches, for nodes without network, and write lorafit.lock."""
    from lorafit.display import Display
    from lorafit.display.fetching import show_fetch
    from lorafit.verbs.fetch import fetch as carry_out

    display = Display(json=json)
    with display:
        result = carry_out(recipes, all_overrides(overrides, unset), lock, display.report, check=check)
    show_fetch(display, result)
