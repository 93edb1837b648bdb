"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lorafit.cli.completion import complete_adapter, complete_recipe
from lorafit.errors import DropArgument, RecipeError
from lorafit.run.options import Resume

AdapterArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ADAPTER", help="An adapter folder.", show_default=False, autocompletion=complete_adapter
    ),
]
AdaptersArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="ADAPTER...",
        help="An adapter folder, or several of one base.",
        show_default=False,
        autocompletion=complete_adapter,
    ),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe file, or the name of a shipped recipe.",
        show_default=False,
        autocompletion=complete_recipe,
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
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show the result alone, without progress and notes on the way.")
]
ResumeOption = Annotated[
    Resume,
    typer.Option(
        "--resume",
        help="What is unfinished is continued (auto), must be there to be continued (must), or starts over (never).",
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        help="Save and stop before this much time has passed, such as 90s, 15m, 1.5h or 1:30:00. "
        "Inside a Slurm job its end counts, too.",
        metavar="TIME",
        show_default=False,
    ),
]
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

Strategy = Annotated[
    str | None,
    typer.Option(
        help="beam, greedy or sample.", show_default="sample with --temperature or --top-p, else as trained"
    ),
]
GreedyFlag = Annotated[bool, typer.Option("--greedy", help="The likeliest token every time.")]
Beams = Annotated[
    int | None, typer.Option("--beams", help="Width of the beam search.", show_default="as trained")
]
Temperature = Annotated[
    float | None,
    typer.Option(help="For sampling, greater than 0; below 1 it prefers likely tokens.", show_default="1"),
]
TopP = Annotated[
    float | None,
    typer.Option(
        help="For sampling; the likeliest tokens that together are this probable, at most 1.",
        show_default="1",
    ),
]
MaxNewTokens = Annotated[int | None, typer.Option(help="Longest text, in tokens.", show_default="as trained")]
SamplingSeed = Annotated[
    int | None,
    typer.Option(
        help="For sampling; what is drawn for a row depends on it and the row's number.", show_default="0"
    ),
]

Split = Literal["train", "valid", "test"]


def all_overrides(assigned: list[str] | None, unset: list[str] | None) -> list[str]:
    """`--set` and `--unset` as the overrides that a recipe is read with."""
    return [*(f"unset={key}" for key in unset or ()), *(assigned or ())]


def strategy_name(strategy: str | None, greedy: bool) -> str | None:
    """The strategy that `--strategy` or `--greedy` names. Raises RecipeError where they name two."""
    if greedy and strategy not in (None, "greedy"):
        raise RecipeError(f"greedy: the strategy is {strategy!r}", DropArgument("greedy"))
    return "greedy" if greedy else strategy


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
