"""Recipes as this program reads them: with its methods, tasks and presets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import SerializeAsAny

from lorafit import recipe
from lorafit.methods import METHODS, Method
from lorafit.recipe import find_recipe, read_recipe
from lorafit.recipe.read import NamedSections
from lorafit.tasks import DEFAULTS, SECTIONS, Task

NAMED_SECTIONS: NamedSections = {"method": METHODS, "task": SECTIONS}


class Recipe(recipe.Recipe):
    """A recipe whose method and task are this program's own."""

    method: SerializeAsAny[Method]
    task: SerializeAsAny[Task]


def open_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe file, or what `find_recipe` finds by a name, with overrides.

    Raises RecipeError with a line for every fault, NotFoundError for an unknown name.
    """
    path = name_or_path if isinstance(name_or_path, Path) else find_recipe(name_or_path)
    return read_recipe(path, overrides, Recipe, NAMED_SECTIONS, DEFAULTS)
