"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

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
    Path, typer.Argument(metavar="OUTPUT", help="The folder to create.", show_default=False)
]
Base = Annotated[
    str | None, typer.Option("--base", help="Another path or hub id of the base.", show_default=False)
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Use the base although it is not the one that the adapter was trained on."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, messages on stderr.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a key of the recipe; may be repeated.",
        show_default=False,
    ),
]
Unset = Annotated[
    list[str] | None,
    typer.Option(
        "--unset",
        metavar="SECTION.KEY",
        help="Remove a key of the recipe, so that its default applies; may be repeated.",
        show_default=False,
    ),
]


Split = Literal["train", "valid", "test"]


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
