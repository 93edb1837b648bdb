"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lorafit.errors import RecipeError

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


def choice(flag: str, names: Collection[str], help: str, show_default: bool | str = True) -> Any:
    """An option whose values are the names of a registry. The registry itself refuses another name, with a hint."""
    return typer.Option(
        flag,
        metavar=f"[{'|'.join(names)}]",
        help=help,
        show_default=show_default,
        autocompletion=lambda: list(names),
    )


def described(entries: Mapping[str, str]) -> str:
    """The entries of a registry with their own words, for the help of an option."""
    return "; ".join(f"{name}: {words}" for name, words in entries.items())


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """'5GB' -> 5000000000. Raises RecipeError for what is not a size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _UNITS or float(match[1]) == 0:
        raise RecipeError(f"--max-shard-size {text}: not a size; write it as 500MB or 5GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
