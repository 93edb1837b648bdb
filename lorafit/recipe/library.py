"""The recipes that ship with lorafit, found by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from lorafit.errors import NotFoundError, did_you_mean

RECIPES_DIR = Path(__file__).resolve().parents[1] / "recipes"  # in a checkout a link to the one at the top


@cache
def shipped_recipes() -> Mapping[str, Path]:
    """Recipe name -> file: what people type first, then the paper's tables. No two files share a name."""
    return {path.stem: path for path in sorted(RECIPES_DIR.rglob("*.toml"), key=_order)}


def _order(path: Path) -> tuple[bool, list[str]]:
    """What lies at the top comes first; numbers in names count as numbers."""
    inner = path.relative_to(RECIPES_DIR)
    words = re.split(r"(\d+)", inner.as_posix())
    return len(inner.parts) > 1, [word.zfill(6) if word.isdigit() else word for word in words]


def find_recipe(name_or_path: str, folder: Path = Path()) -> Path:
    """The recipe file that is meant: a path from `folder`, or the name of a shipped recipe or its path in the list.

    Raises NotFoundError when there is neither.
    """
    path = folder / name_or_path
    if path.is_file():
        return path
    if path.is_dir():
        raise NotFoundError(f"{name_or_path}: is a folder, not a recipe file")
    shipped = shipped_recipes()
    name = name_or_path.removesuffix(".toml")
    if name in shipped:
        return shipped[name]
    listed = RECIPES_DIR / name_or_path
    if listed in shipped.values():
        return listed
    hint = did_you_mean(path.stem, shipped) or "; `lorafit recipes` lists the shipped ones"
    raise NotFoundError(f"{name_or_path}: no such recipe file, and no shipped recipe of that name{hint}")
