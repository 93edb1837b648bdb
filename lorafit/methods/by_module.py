"""An option that is one value for all adapted modules, or a table of values by patterns of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from lorafit.errors import RecipeError

DEFAULT = "default"

Value = TypeVar("Value", int, float)


def by_module(key: str, given: Value | Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    """The value of every module of `names`: of the pattern that matches it, else of "default".

    Raises RecipeError for a pattern that matches none, and for a module with two values or none.
    """
    from lorafit import lora

    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    patterns = [pattern for pattern in given if pattern != DEFAULT]
    for pattern in patterns:
        if not any(lora.matches(name, pattern) for name in names):
            raise RecipeError(f"[method] {key}: {pattern!r} matches no module that gets an adapter")
    values: dict[str, Value] = {}
    for name in names:
        meant = {given[pattern]: pattern for pattern in patterns if lora.matches(name, pattern)}
        if len(meant) > 1:
            one, other = list(meant.values())[:2]
            raise RecipeError(
                f"[method] {key}: {one!r} and {other!r} both match {name}, with {given[one]:g} and {given[other]:g}"
            )
        if not meant and DEFAULT not in given:
            raise RecipeError(f"[method] {key}: no pattern matches {name}; say {DEFAULT!r} for the others")
        values[name] = next(iter(meant)) if meant else given[DEFAULT]
    return values
