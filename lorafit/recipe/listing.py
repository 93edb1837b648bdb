"""What ships, and which row of the paper each recipe stands for."""

from __future__ import annotations

from dataclasses import dataclass

from lorafit.errors import RecipeError, did_you_mean
from lorafit.recipe.layers import read_layers
from lorafit.recipe.library import RECIPES_DIR, shipped_recipes


@dataclass(frozen=True)
class RecipeSummary:
    """A line of `lorafit recipes`."""

    name: str
    path: str  # from the folder of the shipped recipes
    task: str
    base: str
    method: str
    table: str | None
    row: str | None


def list_recipes() -> list[RecipeSummary]:
    """The shipped recipes, without checking them: the test suite does that."""
    summaries = []
    for name, path in shipped_recipes().items():
        document = read_layers(path).document
        paper = document.get("paper", {})
        summaries.append(
            RecipeSummary(
                name=name,
                path=path.relative_to(RECIPES_DIR).as_posix(),
                task=document["task"]["name"],
                base=document["model"]["base"],
                method=document["method"]["name"],
                table=paper.get("table"),
                row=paper.get("row"),
            )
        )
    return summaries


def select_recipes(
    *, table: str | None = None, task: str | None = None, method: str | None = None, base: str | None = None
) -> list[RecipeSummary]:
    """The shipped recipes of a table, a task and a method, and of the bases with `base` in their names. None means all.

    Raises RecipeError for a table, task, method or base that no shipped recipe has.
    """
    chosen = everything = list_recipes()
    for field, wanted in (("table", table), ("task", task), ("method", method), ("base", base)):
        if wanted is None:
            continue
        known = sorted({value for recipe in everything if (value := vars(recipe)[field]) is not None})
        matching = [v for v in known if (wanted.lower() in v.lower() if field == "base" else wanted == v)]
        if not matching:
            raise RecipeError(
                f"no shipped recipe has the {field} {wanted!r}; one of {', '.join(known)}{did_you_mean(wanted, known)}"
            )
        chosen = [recipe for recipe in chosen if vars(recipe)[field] in matching]
    return chosen
