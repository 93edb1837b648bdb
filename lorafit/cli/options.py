"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_state = {"debug": False}


def debugging() -> bool:
    """Whether --debug was given: a user's mistake then shows its traceback."""
    return _state["debug"]


def _set_debug(value: bool) -> bool:
    _state["debug"] = _state["debug"] or value
    return value


AdapterArgument = Annotated[
    Path, typer.Argument(metavar="ADAPTER", help="An adapter folder.", show_default=False)
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.", show_default=False
    ),
]
OutputArgument = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="The folder to make.", show_default=False)
]
Base = Annotated[
    str | None, typer.Option("--base", help="The base under another path or hub id.", show_default=False)
]
Force = Annotated[bool, typer.Option("--force", help="Go on although the base is not the one trained on.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout, messages on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a key of the recipe; may be given often.",
        show_default=False,
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--unset",
        metavar="SECTION.KEY",
        help="Remove a key of the recipe, so that it has its default; may be given often.",
        show_default=False,
    ),
]


def all_overrides(assigned: list[str] | None, unset: list[str] | None) -> list[str]:
    """`--set` and `--unset` as the overrides that a recipe is read with."""
    return [*(f"unset={key}" for key in unset or ()), *(assigned or ())]
