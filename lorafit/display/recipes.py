"""The list of shipped recipes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from lorafit.display.display import Display
from lorafit.recipe import RecipeSummary


def show_recipes(display: Display, recipes: Sequence[RecipeSummary]) -> None:
    """A line for each, as long as it is."""
    if display.json:
        display.print_json([vars(recipe) for recipe in recipes])
        return
    if not recipes:
        display.print("no shipped recipe matches all of these filters")
        return
    table = Table("recipe", "task", "base", "method", "paper", box=None, pad_edge=False, header_style="bold")
    for recipe in recipes:
        paper = f"Table {recipe.table}: {recipe.row}" if recipe.table else ""
        table.add_row(recipe.path, recipe.task, recipe.base, recipe.method, paper)
    display.print_wide(table)
