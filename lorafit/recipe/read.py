"""A recipe's document -> Recipe, and back to TOML. Every fault in a recipe is reported at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lorafit.errors import RecipeError, did_you_mean
from lorafit.files import absolute_path
from lorafit.recipe.layers import PATHS_FROM, UNSET, Document, Key, Layers, path_places, read_layers
from lorafit.recipe.sections import Recipe, Section

# What other programs call a key -> what we call it, so that "did you mean" understands people who come from there.
SYNONYMS = {
    "rank": "r",
    "lora_r": "r",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "lr": "learning_rate",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "global_batch_size": "batch_size",
    "per_device_train_batch_size": "micro_batch_size",
    "gradient_accumulation_steps": "micro_batch_size",
    "clip": "max_grad_norm",
    "beams": "num_beams",
    "beam": "num_beams",
    "model": "base",
    "model_name_or_path": "base",
    "max_seq_length": "max_length",
    "seq_len": "max_length",
    "cls_dropout": "head_dropout",
    "label_smooth": "label_smoothing",
    "adapter_size": "size",
    "bottleneck": "size",
    "preseqlen": "length",
    "num_virtual_tokens": "length",
    "mid_dim": "hidden",
    "text_column": "text",
    "label_column": "label",
    "target": "completion",
    "response": "completion",
    "dataset": "hub",
    "dataset_name": "hub",
    "dataset_config": "hub_config",
    "revision": "hub_revision",
    "max_tokens": "batch_tokens",
}

# Keys that say how the work is done and not what comes out: a run may be resumed with other values of these.
INCIDENTAL = {
    ("data", "on_long_row"),
    ("train", "micro_batch_size"),
    ("train", "log_every"),
    ("train", "checkpoint_every"),
    ("train", "keep_checkpoints"),
    ("train", "max_oom_retries"),
    ("train", "gradient_checkpointing"),
    ("train", "parallel"),
    ("eval", "batch_size"),
}

_ASIDE = ("name", "paper", "sweep", "track")  # what is said of a run, and nothing of what it does

_WANTED = {  # pydantic's kind of fault -> in the words of TOML
    "tuple_type": 'must be an array such as ["a", "b"]',
    "dict_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text in quotes",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
}
_SHOWN_CHARACTERS = 200  # of a value that is refused

NamedSections = Mapping[str, Mapping[str, type[Section]]]
"""Sections whose `name` decides which keys they have: section -> name -> class."""

RecipeT = TypeVar("RecipeT", bound=Recipe)
SectionT = TypeVar("SectionT", bound=Section)

Defaults = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What a task's name stands for besides its keys: name -> section -> key -> value."""


def read_recipe(
    path: Path, overrides: Sequence[str], model: type[RecipeT], named: NamedSections, defaults: Defaults
) -> RecipeT:
    """Read a recipe file as `model`, with what it extends and with overrides, and check everything.

    An override reads `section.key=value`, or `unset=section.key`; `defaults` lie under what the recipe says. Raises
    RecipeError with one line per fault: `file [section] key: what; what to do`.
    """
    layers = read_layers(path, overrides)
    document = {"name": path.stem, **_over(layers.document, defaults)}
    recipe, faults = _validate(document, model, named)
    if recipe is None:
        raise RecipeError("\n".join(_line(layers, *place, what) for place, what in faults))
    return recipe


def read_section(path: Path, overrides: Sequence[str], section: str, model: type[SectionT]) -> SectionT:
    """A section alone, whatever the rest of the recipe still lacks. Raises as `read_recipe`."""
    layers, faults = read_layers(path, overrides), list[Fault]()
    found = _section(section, model, _tuples(layers.document.get(section, {})), faults)
    if found is None:
        raise RecipeError("\n".join(_line(layers, *place, what) for place, what in faults))
    return found


def to_toml(recipe: Recipe, *, paths_from: Path | None = None) -> str:
    """The resolved recipe as TOML that `read_recipe` reads back to an equal Recipe.

    `paths_from`: the folder in which its relative paths, where it has some, can be found from elsewhere.
    """
    document = _without_none(_document(recipe))
    if not recipe.sweep.grid and not recipe.sweep.seeds:
        del document["sweep"]
    places = path_places(document)
    if paths_from is not None and any(absolute_path(holder[key]) for holder, key in places):
        document = {PATHS_FROM: str(paths_from), **document}
    return tomli_w.dumps(document)


def recipe_hash(recipe: Recipe) -> str:
    """sha256 of what decides the result: all but the name, the published figures, the trackers and the INCIDENTAL
    keys."""
    document = {k: v for k, v in _document(recipe).items() if k not in _ASIDE}
    for section, key in INCIDENTAL:
        document[section].pop(key)
    return hashlib.sha256(tomli_w.dumps(_without_none(document)).encode()).hexdigest()


def differing_keys(ours: Recipe, theirs: Recipe) -> list[str]:
    """`section.key: theirs -> ours` for every key in which two recipes differ, published figures, trackers and
    INCIDENTAL keys aside."""
    mine, other = _document(ours), _document(theirs)
    lines = []
    for section in mine.keys() - set(_ASIDE):
        for key in sorted(mine[section].keys() | other[section].keys()):
            before, after = other[section].get(key), mine[section].get(key)
            if before != after and (section, key) not in INCIDENTAL:
                lines.append(f"{section}.{key}: {before!r} -> {after!r}")
    return sorted(lines)


def _document(recipe: Recipe) -> Document:
    document = recipe.model_dump()
    name = getattr(type(recipe.method), "name", None)
    return {**document, "method": {"name": name, **document["method"]}} if name else document


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list | tuple) else value


Fault = tuple[Key, str]  # where, what is wrong


def _over(document: Document, defaults: Defaults) -> Document:
    """The document over the defaults of its task."""
    task = document.get("task")
    name = task.get("name") if isinstance(task, dict) else None
    under = defaults.get(name, {}) if isinstance(name, str) else {}
    laid = {
        section: {**values, **document.get(section, {})}
        for section, values in under.items()
        if isinstance(document.get(section, {}), dict)
    }
    return document | laid


def _validate(
    document: Document, recipe: type[RecipeT], named: NamedSections
) -> tuple[RecipeT | None, list[Fault]]:
    """Every section is checked on its own, so that one fault does not hide another."""
    document = _tuples(document)
    faults: list[Fault] = []
    values: Document = {"name": document.pop("name")}
    known = [name for name in recipe.model_fields if name != "name"]
    for section in document.keys() - set(known):
        faults.append(
            (
                (section, ""),
                f"unknown section{did_you_mean(section, known) or '; known sections: ' + ', '.join(known)}",
            )
        )
    for section in known:
        table = document.get(section, {})
        if not isinstance(table, dict):
            faults.append(((section, ""), f"must be a section '[{section}]', not a value"))
            continue
        model: Any = recipe.model_fields[section].annotation
        if section in named:
            table = dict(table)
            model = _named_section(section, table, named[section], faults)
        if model is not None:
            values[section] = _section(section, model, table, faults)
    if faults:
        return None, faults
    return recipe.model_construct(**values), []


def _named_section(
    section: str, table: Document, choices: Mapping[str, type[Section]], faults: list[Fault]
) -> type[Section] | None:
    """The class of a section whose `name` decides which keys it has; the name stays where it is a key itself."""
    name = table.pop("name", None)
    if isinstance(name, str) and name in choices:
        if "name" in choices[name].model_fields:
            table["name"] = name
        return choices[name]
    known = ", ".join(choices)
    hint = did_you_mean(str(name), choices)
    what = "missing" if name is None else f"unknown {section} {name!r}"
    faults.append(((section, "name"), f"{what}; one of {known}{hint if name is not None else ''}"))
    return None


def _section(section: str, model: type[SectionT], table: Document, faults: list[Fault]) -> SectionT | None:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0]) if detail["loc"] else ""
            faults.append(((section, key), _message(detail, model.model_fields)))
        return None


def _message(detail: ErrorDetails, fields: Iterable[str]) -> str:
    key = str(detail["loc"][0]) if detail["loc"] else ""
    match detail["type"]:
        case "extra_forbidden":
            known = {name: name for name in fields} | {k: v for k, v in SYNONYMS.items() if v in set(fields)}
            hint = did_you_mean(key, known)
            for alias, name in SYNONYMS.items():
                hint = hint.replace(f"'{alias}'", f"'{name}'") if name in known else hint
            return f"unknown key{hint or '; known keys: ' + ', '.join(fields)}"
        case "missing":
            return "missing, and has no default"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            what = _WANTED.get(detail["type"]) or detail["msg"].removeprefix("Input ").replace(
                "should be", "must be"
            )
            given = repr(_plain(detail["input"]))
            return (
                f"{what}; got {given if len(given) <= _SHOWN_CHARACTERS else given[:_SHOWN_CHARACTERS] + '…'}"
            )


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, since a recipe is a frozen value."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _line(layers: Layers, section: str, key: str, what: str) -> str:
    """A fault with its place. Where keys do not go together, it says how to get rid of one that is inherited."""
    said = (
        [] if key else [name for name in re.findall(r"'(\w+)'", what) if layers.is_inherited(section, name)]
    )
    hint = (
        f"; {UNSET} = {json.dumps([f'{section}.{name}' for name in said])} drops what is inherited"
        if said
        else ""
    )
    return f"{layers.where(section, key)}: {what}{hint}"
