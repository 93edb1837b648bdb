"""`lorafit recipes`, and `lorafit recipe`: what a recipe may say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.command import add_command
from lorafit.cli.options import Json
from lorafit.cli.parsing import parse_table
from lorafit.imports import importing

if TYPE_CHECKING:
    from lorafit.recipe.read import NamedSections

app = typer.Typer(no_args_is_help=True, help="What a recipe may say: every key, for people and for editors.")


def recipes(
    table: Annotated[
        str | None, typer.Option(help="Only a table of the paper, such as 2.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only a task, such as rte.", show_default=False)] = None,
    method: Annotated[
        str | None, typer.Option(help="Only a method, such as lora.", show_default=False)
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Only bases with this in their name, such as roberta-large.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List the shipped recipes with their task, base and the paper row they stand for.

    `lorafit train` takes what is in the first column, or the name at its end.
    """
    with importing():
        from lorafit.display import Display
        from lorafit.display.recipes import show_recipes
        from lorafit.recipe import select_recipes

    number = parse_table(table) if table is not None else None
    show_recipes(Display(json=json), select_recipes(table=number, task=task, method=method, base=base))


def schema() -> None:
    """Print the JSON schema of a recipe; editors that know Taplo find it by `#:schema PATH` in the first line."""
    with importing():
        from lorafit.display import Display
        from lorafit.recipe.reference import schema

    Display(json=True).print_json(schema(_named_sections()))


def reference() -> None:
    """Print every key with its values, its default and its meaning, as Markdown."""
    with importing():
        from lorafit.recipe.reference import reference

    typer.echo(reference(_named_sections()), nl=False)


def _named_sections() -> NamedSections:
    """The sections whose `name` decides which keys they have."""
    with importing():
        from lorafit.run.recipes import NAMED_SECTIONS

    return NAMED_SECTIONS


for _name, _command in {"schema": schema, "reference": reference}.items():
    add_command(app, _name, _command)
