"""`lorafit runs`: what lies under runs/; and `lorafit show`: all about one of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from lorafit.cli.command import add_command
from lorafit.cli.completion import complete_any, complete_run
from lorafit.cli.next_step import next_step, use_adapter
from lorafit.cli.options import Json, choice
from lorafit.errors import RecipeError, SetArgument
from lorafit.imports import importing
from lorafit.run.files.summary import STATES, State
from lorafit.verbs.runs import SORTS


class ListByDefault(TyperGroup):
    """A group that lists where no other of its commands is named."""

    usual = "list"

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else [self.usual, *args])


app = typer.Typer(
    cls=ListByDefault,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What lies under runs/. `lorafit runs` alone lists; so does `lorafit runs` with options of `list`.",
)

RunsDir = Annotated[Path, typer.Argument(metavar="RUNS_DIR", help="Where the run folders are.")]


def runs(
    runs_dir: RunsDir = Path("runs"),
    state: Annotated[
        str | None, choice("--state", STATES, "Only runs of a state.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only a task, such as rte.", show_default=False)] = None,
    method: Annotated[
        str | None, typer.Option(help="Only a method, such as lora.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Only recipes with this in their name.", show_default=False)
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Only bases with this in their name.", show_default=False)
    ] = None,
    sort: Annotated[str, choice("--sort", SORTS, "The newest, largest or best one first.")] = "path",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    json: Json = False,
) -> None:
    """List runs: state, score, age, size, and how to go on with those that are not finished."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.runs import show_runs
        from lorafit.errors import lookup
        from lorafit.verbs import runs as verb

    lookup(SORTS, sort, "order", where="--sort")
    states: dict[str, State] = {name: name for name in STATES}
    chosen = None if state is None else lookup(states, state, "state", where="--state")
    found = verb.runs(runs_dir, verb.Filter(chosen, task, method, recipe, base), sort)
    found = found[::-1] if reverse else found
    show_runs(Display(json=json), [(run, next_step(run)) for run in found])


def rm(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders.", show_default=False, autocompletion=complete_run
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete run folders with everything in them, after a question. A run that a process works on is refused."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.runs import question, show_removed
        from lorafit.verbs import runs as verb

    chosen = verb.removable(runs)
    if not yes:
        if not sys.stdin.isatty():
            raise RecipeError("nobody is there to be asked, so nothing is deleted", SetArgument("yes", True))
        typer.confirm(question(chosen), abort=True, err=True)
    for run in chosen:
        verb.remove(run)
    show_removed(Display(json=json), chosen)


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|ADAPTER|RECIPE",
            help="A run folder, an adapter folder, a recipe file, or the name of a shipped recipe.",
            show_default=False,
            autocompletion=complete_any,
        ),
    ],
    json: Json = False,
) -> None:
    """Tell all about one run, adapter or recipe; nothing is loaded, so it is quick."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.runs import show_adapter, show_recipe, show_run
        from lorafit.verbs import show as verb

    display = Display(json=json)
    match shown := verb.show(name):
        case verb.ShownRun():
            show_run(display, shown, next_step(shown.summary))
        case verb.ShownAdapter():
            show_adapter(display, shown, use_adapter(shown.folder, shown.task))
        case verb.ShownRecipe():
            show_recipe(display, shown, name)


add_command(app, ListByDefault.usual, runs)
add_command(app, "rm", rm)
