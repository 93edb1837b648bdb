"""A grid of settings and seeds as points, each of which is one run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lorafit.errors import RecipeError
from lorafit.recipe import SweepSection, assignment
from lorafit.recipe.layers import parse_assignment

SEED = "train.seed"


@dataclass(frozen=True)
class Point:
    """One run: its settings by key of the recipe, and its seed; None stands for the recipe's own."""

    settings: Mapping[str, Any]
    seed: int | None = None

    @property
    def overrides(self) -> list[str]:
        """As a recipe is read with them."""
        values = {**self.settings, **({} if self.seed is None else {SEED: self.seed})}
        return [assignment(key, value) for key, value in values.items()]

    def folder(self, seed: int) -> Path:
        """Where its run lies below the sweep's folder: a folder for the settings, one in it for each seed."""
        return Path(settings_text(self.settings, "_").replace(" = ", "=") or "recipe") / f"seed-{seed}"


def settings_text(settings: Mapping[str, Any], between: str = ", ") -> str:
    """'learning_rate = 0.001, r = 8': keys without their section where that leaves no two alike."""
    short = [key.rpartition(".")[2] for key in settings]
    names = short if len(set(short)) == len(short) else list(settings)
    texts = [f"{name} = {value_text(value)}" for name, value in zip(names, settings.values(), strict=True)]
    return between.join(re.sub(r"[^\w.=+ -]+", "-", text) if between == "_" else text for text in texts)


def value_text(value: object) -> str:
    """As people write it: 0.001, query+value, layers.0.* 2+default 4."""
    match value:
        case list() | tuple():
            return "+".join(map(value_text, value))
        case dict():
            return "+".join(f"{key} {value_text(each)}" for key, each in value.items())
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    return str(value)


def points(section: SweepSection) -> list[Point]:
    """Every combination of the grid's values with every seed; the seed varies fastest.

    Raises RecipeError where nothing varies, for a seed among the keys, and for a value that is there twice.
    """
    if not section.grid and not section.seeds:
        raise RecipeError(
            "[sweep]: nothing varies; name settings and values in grid, or several seeds in seeds"
        )
    if SEED in section.grid:
        raise RecipeError(f"[sweep] grid: {SEED} is varied by seeds, since results are averaged over them")
    for key, values in section.grid.items():
        if len({repr(value) for value in values}) < len(values) or not values:
            raise RecipeError(f"[sweep] grid: {key} needs values, each of them once; got {list(values)}")
    keys = list(section.grid)
    settings = [dict(zip(keys, values, strict=True)) for values in itertools.product(*section.grid.values())]
    return [Point(each, seed) for each in settings for seed in (section.seeds or (None,))]


def section_of(grid: Mapping[str, Sequence[Any]], seeds: Sequence[int]) -> SweepSection:
    """Raises RecipeError for a value that no key has."""
    try:
        return SweepSection.model_validate({"grid": grid, "seeds": tuple(seeds)})
    except ValidationError as error:
        *_, key, number = error.errors()[0]["loc"][:3]
        raise RecipeError(
            f"[sweep] grid: {key} takes texts, numbers, true and false, and lists and tables of them; got "
            f"{grid[str(key)][int(number)]!r}"
        ) from None


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """'train.learning_rate=1e-4,3e-4' -> its key and values. A comma within brackets separates no values.

    Raises RecipeError for what is no such text.
    """
    key, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise RecipeError(
            f"grid {text}: must read section.key=value,value,..., such as train.learning_rate=1e-4,1e-3"
        )
    parts = re.findall(r"(?:\[[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|[^,])+", values)
    return key.strip(), tuple(_value(key, part) for part in parts)


def _value(key: str, text: str) -> Any:
    value = parse_assignment(f"{key}={text}")[2]
    return tuple(value) if isinstance(value, list) else value


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether the values of a key can be put in order, as numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
