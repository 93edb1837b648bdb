"""The recipe of a run with what was changed in it, and the command that makes the run again."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from lorafit.errors import LorafitError
from lorafit.page.run import Run
from lorafit.recipe import shipped_recipes, to_toml
from lorafit.recipe.layers import assignment
from lorafit.run.recipes import Recipe, open_recipe

Values = Mapping[str, Mapping[str, Any]]
"""section -> key -> value."""
_UNSET = object()
_QUIET = {"name", "paper", "paths_from"}  # no settings


@dataclass(frozen=True)
class Setting:
    """A key of the recipe. `before` is what it was in what the recipe is compared with, None where that is the same."""

    key: str
    value: str
    before: str | None

    @property
    def is_changed(self) -> bool:
        return self.before is not None


@dataclass(frozen=True)
class Settings:
    """By section. `compared_with` says with what; "" where the recipe could not be compared."""

    sections: Mapping[str, list[Setting]]
    compared_with: str
    command: str

    @property
    def changed(self) -> list[tuple[str, Setting]]:
        return [
            (name, each) for name, section in self.sections.items() for each in section if each.is_changed
        ]


def settings(run: Run) -> Settings:
    """Beside the shipped recipe of that name; of a recipe of one's own, beside the defaults."""
    mine = values(run)
    shipped = _shipped(run)
    other: Values = {}
    compared_with = ""
    if shipped is not None:
        other, compared_with = _values_of(shipped), f"the shipped recipe {run.name}"
    elif run.recipe is not None:
        other, compared_with = _defaults(run.recipe), "the defaults"
    sections = {}
    for name, section in mine.items():
        keys = dict.fromkeys((*section, *(other.get(name, {}) if shipped is not None else ())))
        rows = [_setting(key, section, other.get(name, {}), known=bool(compared_with)) for key in keys]
        if rows:
            sections[name] = rows
    return Settings(sections, compared_with, _command(run, mine, other if shipped is not None else None))


def values(run: Run) -> Values:
    """The recipe's values as the run folder has them; of keys that came later, what stands for their absence."""
    said = {
        name: section
        for name, section in run.document.items()
        if name not in _QUIET and isinstance(section, dict)
    }
    resolved = _values_of(run.recipe) if run.recipe is not None else {}
    return {
        name: {**resolved.get(name, {}), **said.get(name, {})} for name in dict.fromkeys((*said, *resolved))
    }


def shown(value: object) -> str:
    """A value as a person reads it in a recipe."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case str():
            return value if value.strip() == value and value.isprintable() and value else repr(value)
        case list() | tuple():
            return ", ".join(map(shown, value)) or "[]"
        case dict():
            return ", ".join(f"{key} = {shown(each)}" for key, each in value.items()) or "{}"
        case _:
            return "(none)" if value is None or value is _UNSET else str(value)


def _setting(key: str, mine: Mapping[str, Any], other: Mapping[str, Any], *, known: bool) -> Setting:
    value, before = mine.get(key, _UNSET), other.get(key, _UNSET)
    is_changed = known and value != before and not (before is _UNSET and value in ({}, []))
    return Setting(key, shown(value), shown(before) if is_changed else None)


def _shipped(run: Run) -> Recipe | None:
    """The shipped recipe of the run's name, where it is of the same task and base of recipe."""
    if run.recipe is None or run.name not in shipped_recipes():
        return None
    try:
        return open_recipe(run.name)
    except LorafitError:
        return None


def _values_of(recipe: Recipe) -> Values:
    document = tomllib.loads(to_toml(recipe))
    return {name: section for name, section in document.items() if name not in _QUIET}


def _defaults(recipe: Recipe) -> Values:
    """The default of every key that has one."""
    sections: Mapping[str, BaseModel] = {
        name: section for name, section in recipe if name not in _QUIET and isinstance(section, BaseModel)
    }
    return {
        name: {
            key: _plain(field.get_default(call_default_factory=True))
            for key, field in type(section).model_fields.items()
            if field.get_default(call_default_factory=True) is not PydanticUndefined
        }
        for name, section in sections.items()
    }


def _plain(value: Any) -> Any:
    """As TOML gives it."""
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _command(run: Run, mine: Values, shipped: Values | None) -> str:
    """What trains it again: the shipped recipe with its changes, or else the recipe in the run folder."""
    if shipped is None:
        return shlex.join(
            ["lorafit", "train", str(run.path / "recipe.toml"), "--output", f"{run.path}-again"]
        )
    words = ["lorafit", "train", run.name]
    for name, section in mine.items():
        before = shipped.get(name, {})
        words += _assignments(name, section, before)
    return shlex.join([*words, "--output", f"{run.path}-again"])


def _assignments(name: str, section: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    words = []
    for key in dict.fromkeys((*section, *before)):
        if section.get(key, _UNSET) == before.get(key, _UNSET):
            continue
        place = f"{name}.{key}"
        words += ["--set", assignment(place, section[key])] if key in section else ["--unset", place]
    return words
