"""All keys of a recipe, for people (docs/recipe.md) and for editors (recipes/schema.json); both come from the sections.

`named` holds the sections whose `name` decides which keys they have: section -> name -> class.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterable, Mapping

from lorafit.files import JsonObject
from lorafit.recipe.layers import EXTENDS, PATHS_FROM, UNSET
from lorafit.recipe.read import NamedSections
from lorafit.recipe.sections import Recipe, Section

JsonSchema = JsonObject

_HEAD = """# Recipes, key by key

A recipe is a TOML file. `lorafit train FILE` or `lorafit train NAME` runs it; `--dry-run` shows it as it is resolved,
with every default in its place. An unknown key or an impossible value is refused before anything starts.

* `--set section.key=value` on the command line wins over the file; `--unset section.key` removes what the file says.
* A recipe that `extends` another says only what differs: its keys win, and another `name` in a section replaces the
  whole section. The parent must be a complete recipe; its `[paper]` is not inherited.
* `lorafit recipe schema > schema.json` writes the JSON schema. With `#:schema schema.json` in a recipe's first line,
  editors that know Taplo (such as VS Code with Even Better TOML) complete its keys and show their meaning.

`lorafit recipe reference` makes this page.
"""

_FILE_KEYS: dict[str, JsonSchema] = {
    EXTENDS: {
        "type": "string",
        "description": "The recipe that this one changes: a shipped recipe's name, or a path from this file's folder.",
    },
    UNSET: {
        "type": "array",
        "items": {"type": "string", "pattern": "^[^.]+[.][^.]+$"},
        "description": 'Inherited keys to drop, such as "train.warmup_ratio"; each has its default again.',
    },
    PATHS_FROM: {
        "type": "string",
        "description": "Folder from which relative paths of this file lead where they lead nowhere from here. A run "
        "writes it into its recipe.toml.",
    },
}


def reference(named: NamedSections) -> str:
    """Every key with its values, its default and its meaning, as Markdown."""
    name = _properties(Recipe)["name"]
    lines = [_HEAD, "## At the top of the file", "", *_table({**_FILE_KEYS, "name": name}, ())]
    for section, model in _sections().items():
        lines += ["", f"## `[{section}]`", "", _meaning(model)]
        if section not in named:
            lines += ["", *_table(_properties(model), _required(model))]
            continue
        lines += ["", f"`name` is required: {_either(json.dumps(each) for each in named[section])}."]
        for choice, (own, *presets) in _by_class(named[section]).items():
            lines += ["", f'### `name = "{own}"`', "", _meaning(choice)]
            if presets:
                lines += [
                    "",
                    f"Presets, which are the same with values of their own: {_either(map(json.dumps, presets))}.",
                ]
            if keys := _own_properties(choice):
                lines += ["", *_table(keys, _required(choice))]
    return "\n".join(lines) + "\n"


def schema(named: NamedSections) -> JsonSchema:
    """The JSON schema (draft 7) of a recipe file.

    A recipe that extends another need not be complete: a section without `name` may hold the keys of any name.
    """
    properties = {"name": _properties(Recipe)["name"]}
    complete: dict[str, JsonSchema] = {}
    for section, model in _sections().items():
        choices = named.get(section)
        properties[section] = _object(model) if choices is None else _one_of(model, choices)
        required = _required(model) if choices is None else ["name"]
        if required:
            complete[section] = {"required": required}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "lorafit recipe",
        "type": "object",
        "additionalProperties": False,
        "properties": _FILE_KEYS | properties,
        "dependencies": {UNSET: [EXTENDS]},
        "if": {"required": [EXTENDS]},
        "else": {"required": list(complete), "properties": complete},
    }


def _sections() -> dict[str, type[Section]]:
    annotations = {name: field.annotation for name, field in Recipe.model_fields.items()}
    return {
        name: kind
        for name, kind in annotations.items()
        if inspect.isclass(kind) and issubclass(kind, Section)
    }


def _required(model: type[Section]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def meanings(model: type[Section]) -> dict[str, str]:
    """Key -> what it means: its field's description, else the text below the field."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Section):
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
            found |= _texts_below(body)
    own = {key: field.description for key, field in model.model_fields.items() if field.description}
    return {key: " ".join(text.split()) for key, text in (found | own).items() if key in model.model_fields}


def _texts_below(body: ast.stmt) -> dict[str, str]:
    """Field of a class -> the string that stands below it."""
    found: dict[str, str] = {}
    statements = list(ast.iter_child_nodes(body))
    for field, below in itertools.pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = text
    return found


def _meaning(model: type[Section]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


# ---- the schema


def _object(model: type[Section]) -> JsonSchema:
    return {
        "type": "object",
        "description": _meaning(model),
        "additionalProperties": False,
        "properties": _properties(model),
    }


def _one_of(model: type[Section], choices: Mapping[str, type[Section]]) -> JsonSchema:
    """A section by its `name`; the last alternative is the one without, where the parent says the name."""
    alternatives = []
    merged: dict[str, list[JsonSchema]] = {}
    for choice, names in _by_class(choices).items():
        keys = _own_properties(choice)
        one = {**_object(choice), "title": names[0], "required": ["name"]}
        alternatives.append({**one, "properties": {"name": {"enum": names}, **keys}})
        for key, value in keys.items():
            kinds = merged.setdefault(key, [])
            kinds += [value] if value not in kinds else []
    any_name = {key: kinds[0] if len(kinds) == 1 else {"anyOf": kinds} for key, kinds in merged.items()}
    alternatives.append({"title": "inherited", **_object(model), "properties": any_name})
    return {"description": _meaning(model), "oneOf": alternatives}


def _by_class(choices: Mapping[str, type[Section]]) -> dict[type[Section], list[str]]:
    """Class -> the names that stand for it; the class's own name comes first."""
    names: dict[type[Section], list[str]] = {}
    for name, choice in choices.items():
        names.setdefault(choice, []).append(name)
    return names


def _own_properties(model: type[Section]) -> dict[str, JsonSchema]:
    """The keys of a section besides its `name`."""
    return {key: found for key, found in _properties(model).items() if key != "name"}


def _properties(model: type[Section]) -> dict[str, JsonSchema]:
    """The keys of a section as JSON schema; TOML has no null, so a key that may be None may be left out."""
    properties, texts = {}, meanings(model)
    for name, plain in model.model_json_schema()["properties"].items():
        full = dict(sorted((plain | ({"description": texts[name]} if name in texts else {})).items()))
        kinds = [kind for kind in full.pop("anyOf", full.pop("oneOf", [])) if kind != {"type": "null"}]
        found = full | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})
        found.pop("title", None)
        if each := found.pop("prefixItems", None):  # of draft 2020; our tuples have one type of item
            found["items"] = each[0]
        if found.get("default", ...) is None:
            del found["default"]
        properties[name] = found
    return properties


# ---- the page


def _table(properties: Mapping[str, JsonSchema], required: Iterable[str]) -> list[str]:
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, found in properties.items():
        default = f"`{json.dumps(found['default'])}`" if "default" in found else ""
        cells = (
            f"`{key}`",
            _values(found),
            "required" if key in required else default,
            found.get("description", ""),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


_KINDS = {"string": "string", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _values(found: JsonSchema) -> str:
    """What may stand there, in words."""
    if "anyOf" in found:
        return ", or ".join(map(_values, found["anyOf"]))
    if "enum" in found:
        return _either(json.dumps(value) for value in found["enum"])
    match found["type"]:
        case "array":
            count = f"{found['maxItems']} of: " if "maxItems" in found else "of: "
            return f"array {count}{_values(found['items'])}"
        case "object":
            return f"table of: {_values(found['additionalProperties'])}"
        case kind:
            bounds = [f"{sign} {found[name]:g}" for name, sign in _BOUNDS.items() if name in found]
            return " ".join([_KINDS[kind], " and ".join(bounds)]).strip()


def _either(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)
