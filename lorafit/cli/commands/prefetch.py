"""`lorafit fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.completion import complete_recipe
from lorafit.cli.options import Json, Overrides, Unset, all_overrides
from lorafit.imports import importing


def fetch(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE",
            help="Recipe files, or names of shipped recipes.",
            show_default=False,
            autocompletion=complete_recipe,
        ),
    ],
    overrides: Overrides = None,
    unset: Unset = None,
    lock: Annotated[Path, typer.Option(help="The file that records what was fetched.")] = Path(
        "lorafit.lock"
    ),
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Fetch nothing; list everything that is missing or differs from the lock."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Fetch base, tokenizer and data of recipes for machines without network, and record them in lorafit.lock."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.prefetch import show_prefetch
        from lorafit.verbs.prefetch import prefetch

    display = Display(json=json)
    with display:
        result = prefetch(recipes, all_overrides(overrides, unset), lock, display.report, check=check)
    show_prefetch(display, result)
