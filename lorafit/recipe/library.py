"""The recipes that ship with lorafit, found by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from lorafit.errors import NotFoundError, did_you_mean

_FOLDER = Path(__file__).resolve().parents[1] / "recipes"  # in a checkout a link to the one at the top


def shipped_recipes() -> dict[str, Path]:
    """Recipe name -> file, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def find_recipe(name_or_path: str) -> Path:
    """The recipe file that a command line means: a path, or the name of a shipped recipe.

    Raises NotFoundError when there is neither.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.is_dir():
        raise NotFoundError(f"{name_or_path}: is a folder, not a recipe file")
    shipped = shipped_recipes()
    if path.parent == Path() and path.name.removesuffix(".toml") in shipped:
        return shipped[path.name.removesuffix(".toml")]
    hint = did_you_mean(path.stem, shipped) or "; `lorafit recipes` lists the shipped ones"
    raise NotFoundError(f"{name_or_path}: no such recipe file, and no shipped recipe of that name{hint}")


@dataclass(frozen=True)
class RecipeSummary:
    """A line of `lorafit recipes`."""

    name: str
    task: str
    base: str
    method: str
    table: str | None
    row: str | None


def list_recipes() -> list[RecipeSummary]:
    """The shipped recipes, without checking them: the test suite does that."""
    summaries = []
    for name, path in shipped_recipes().items():
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        paper = document.get("paper", {})
        summaries.append(
            RecipeSummary(
                name=name,
                task=document["task"]["name"],
                base=document["model"]["base"],
                method=document["method"]["name"],
                table=paper.get("table"),
                row=paper.get("row"),
            )
        )
    return summaries
