"""`lorafit recipes`."""

from __future__ import annotations

from lorafit.cli.options import Debug, Json


def recipes(json: Json = False, debug: Debug = False) -> None:  # noqa: ARG001
    """List the shipped recipes with their task, base and the paper row they stand for."""
    from lorafit.display import Display
    from lorafit.display.recipes import show_recipes
    from lorafit.recipe import list_recipes

    show_recipes(Display(json=json), list_recipes())
