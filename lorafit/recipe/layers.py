"""The layers of a recipe: the recipe that it extends, its own file, and overrides on top; put together as one document.

Nothing is known here of what sections and keys mean: `read` checks the whole.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from lorafit.errors import NotFoundError, RecipeError, did_you_mean
from lorafit.files import JsonObject, local_path
from lorafit.recipe.library import find_recipe

Document = JsonObject
Key = tuple[str, str]  # section, key; ("train", "") is the section as a whole

EXTENDS, UNSET, PATHS_FROM = "extends", "unset", "paths_from"
PATH_KEYS: tuple[Key, ...] = (
    ("model", "base"),
    ("method", "init_from"),
    ("data", "dir"),
    ("data", "train"),
    ("data", "valid"),
    ("data", "test"),
    ("train", "init_from"),
)
OWN = ("name", "paper", "sweep")  # what a recipe says of itself alone, so that nobody inherits it


@dataclass
class Layers:
    """Documents laid over each other, the last one on top; and the file in which each value stands."""

    path: Path  # of the recipe itself
    document: Document = field(default_factory=dict)
    files: dict[Key, Path | None] = field(default_factory=dict)  # None: an override
    parent: Path | None = None  # the recipe that it extends

    def add(self, layer: Mapping[str, Any], file: Path | None) -> None:
        """Lay sections on top: each key wins over the one below it.

        Another `name` in a section than the one below replaces the whole section: its keys belong to that name.
        """
        for section, table in layer.items():
            below = self.document.get(section, {})
            if not isinstance(below, dict):
                continue  # no section, and refused as it stands
            if not isinstance(table, dict):
                self.document[section] = table
                self.files[section, ""] = file
                continue
            if "name" in table and below.get("name", table["name"]) != table["name"]:
                below = {}
                self.files = {key: value for key, value in self.files.items() if key[0] != section}
            self.document[section] = below | table
            keys = table if file is None else ("", *table)
            self.files |= {(section, key): file for key in keys}

    def remove(self, names: Sequence[str], where: str) -> None:
        """Take keys away, each named `section.key`. Raises RecipeError with a line for every one that is not there."""
        faults = []
        for name in names:
            section, _, key = name.partition(".")
            table = self.document.get(section)
            if isinstance(table, dict) and key in table:
                del table[key]
                self.files.pop((section, key), None)
                continue
            present = [
                f"{s}.{k}" for s, keys in self.document.items() if isinstance(keys, dict) for k in keys
            ]
            faults.append(f"{where}: there is no {name!r} to unset{did_you_mean(name, present)}")
        if faults:
            raise RecipeError("\n".join(faults))

    def is_inherited(self, section: str, key: str) -> bool:
        """Whether a key of the document stands in the file of the parent."""
        return self.files.get((section, key), self.path) not in (self.path, None)

    def where(self, section: str, key: str) -> str:
        """The place of a key for a message: file and section, or the override."""
        file = self.files.get((section, key), self.path)
        return f"override {section}.{key}" if file is None else f"{file} [{section}] {key}".rstrip()


def read_layers(path: Path, overrides: Sequence[str] = ()) -> Layers:
    """A recipe file over the recipe that it extends, and overrides on top.

    An override reads `section.key=value`, or `unset=section.key`. Raises RecipeError for a file that is no TOML, for
    `extends` and `unset` that cannot be followed, and for what is no override.
    """
    layers = Layers(path)
    extends, unset, document = _read_file(path)
    if extends is not None:
        _inherit(layers, extends)
    layers.remove(unset, f"{path} {UNSET}")
    layers.add(document, path)
    prefix = f"{UNSET}="
    layers.remove([text.removeprefix(prefix) for text in overrides if text.startswith(prefix)], "override")
    assigned: dict[str, Document] = {}
    for section, key, value in (parse_assignment(t) for t in overrides if not t.startswith(prefix)):
        assigned.setdefault(section, {})[key] = value
    layers.add(assigned, None)
    return layers


def _inherit(layers: Layers, extends: str) -> None:
    """Everything of the parent but what it says of itself. One level: the parent must be complete."""
    where = f"{layers.path} {EXTENDS}"
    try:
        path = find_recipe(extends, layers.path.parent)
    except NotFoundError as error:
        raise RecipeError(f"{where}: {error}") from None
    further, _, document = _read_file(path)
    if further is not None:
        raise RecipeError(
            f"{where}: {extends!r} is not complete, it extends {further!r} itself; extend {further!r} and set here "
            f"what {extends!r} changes"
        )
    layers.parent = path
    layers.add({section: table for section, table in document.items() if section not in OWN}, path)


def _read_file(path: Path) -> tuple[str | None, list[str], Document]:
    """What a recipe file extends, what it unsets, and its sections."""
    document = read_toml(path)
    extends, unset = document.pop(EXTENDS, None), document.pop(UNSET, [])
    if not isinstance(extends, str | None):
        raise RecipeError(f"{path} {EXTENDS}: must be a string: a shipped recipe's name, or a file's path")
    if not (isinstance(unset, list) and all(isinstance(name, str) for name in unset)):
        raise RecipeError(f'{path} {UNSET}: must be an array of keys, such as ["train.warmup_ratio"]')
    if unset and extends is None:
        raise RecipeError(
            f"{path} {UNSET}: the recipe extends no other, so there is nothing to unset; remove it"
        )
    folder = document.pop(PATHS_FROM, None)
    if not isinstance(folder, str | None):
        raise RecipeError(
            f"{path} {PATHS_FROM}: must be a string: the folder from which relative paths start"
        )
    if folder is not None:
        _find_paths(document, Path(folder))
    return extends, unset, document


def _find_paths(document: Document, folder: Path) -> None:
    """Relative paths that lead nowhere from here lead from `folder`, where the recipe was carried out."""
    for holder, key in path_places(document):
        there = folder / holder[key]
        if not local_path(holder[key]).exists() and there.exists():
            holder[key] = str(there)


def path_places(document: Document) -> list[tuple[Any, Any]]:
    """Where its paths stand: a table and a key, or an array and an index. Splits on the hub are no paths."""
    data = document.get("data")
    on_hub = isinstance(data, dict) and "hub" in data
    places: list[tuple[Any, Any]] = []
    for section, key in PATH_KEYS:
        table = document.get(section)
        if not isinstance(table, dict) or key not in table or (on_hub and section == "data"):
            continue
        several = table[key]
        places += [(several, i) for i in range(len(several))] if isinstance(several, list) else [(table, key)]
    return [(holder, key) for holder, key in places if isinstance(holder[key], str)]


def read_toml(path: Path) -> Document:
    """A TOML file. Raises RecipeError where it cannot be read as one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, arrays in arrays in arrays
        raise RecipeError(f"{path}: holds a value that is too long") from None


def parse_assignment(text: str) -> tuple[str, str, Any]:
    """'train.seed=1' -> ("train", "seed", 1). The value is TOML; what is not TOML is a string."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise RecipeError(f"override {text}: must read section.key=value, such as train.learning_rate=1e-4")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")["value"]
    except (ValueError, KeyError, RecursionError):
        parsed = value.strip()
    if not isinstance(parsed, bool | int | float | str | list | dict):
        parsed = value.strip()  # a date is meant as the name it looks like
    return section, key, parsed


def assignment(name: str, value: object) -> str:
    """("train.seed", 1) -> 'train.seed=1', which `parse_assignment` reads; None unsets the key.

    Raises RecipeError for a value that TOML cannot hold.
    """
    if value is None:
        return f"{UNSET}={name}"
    try:
        return f"{name}={_inline(value)}"
    except (TypeError, ValueError):
        raise RecipeError(
            f"override {name}: {value!r} must be a text, a number, true or false, or a list or table of them"
        ) from None


def _inline(value: object) -> str:
    """A value as TOML on one line."""
    match value:
        case Path():
            return _inline(str(value))
        case Mapping():
            return "{" + ", ".join(f"{_inline(str(key))} = {_inline(v)}" for key, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_inline, value)) + "]"
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()
