"""docs/recipe.md and recipes/schema.json are what the sections say, and the schema refuses what the program refuses."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import RecipeError
from lorafit.methods import METHODS
from lorafit.recipe import Recipe, Section, shipped_recipes
from lorafit.recipe.reference import meanings
from lorafit.run.recipes import open_recipe

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "recipes" / "schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("command", "file"), [("reference", "docs/recipe.md"), ("schema", "recipes/schema.json")]
)
def test_the_files_are_current(cli, command: str, file: str) -> None:
    made = cli("recipe", command).stdout
    assert (ROOT / file).read_text(encoding="utf-8") == made, f"run `lorafit recipe {command} > {file}`"


def sections() -> list[type[Section]]:
    kinds = (field.annotation for field in Recipe.model_fields.values())
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)] + list(
        METHODS.values()
    )


@pytest.mark.parametrize("section", sections())
def test_every_key_is_described(section: type[Section]) -> None:
    texts = meanings(section)
    for name in section.model_fields:
        description = texts.get(name, "")
        assert description.endswith("."), name
        assert len(description) > 10, name


def test_every_shipped_recipe_names_the_schema() -> None:
    for path in shipped_recipes().values():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("#:schema "), path
        named = path.resolve().parent / first.removeprefix("#:schema ")
        assert named.resolve() == ROOT / "recipes" / "schema.json"


# ---- the schema, by the rules of JSON schema that it uses

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}
RULES = {
    "type": lambda kind, v: isinstance(v, TYPES[kind]) and (kind == "boolean" or not isinstance(v, bool)),
    "enum": lambda values, v: v in values,
    "const": lambda value, v: v == value,
    "minimum": lambda bound, v: v >= bound,
    "exclusiveMinimum": lambda bound, v: v > bound,
    "maximum": lambda bound, v: v <= bound,
    "exclusiveMaximum": lambda bound, v: v < bound,
    "minItems": lambda count, v: len(v) >= count,
    "maxItems": lambda count, v: len(v) <= count,
    "pattern": lambda pattern, v: re.search(pattern, v) is not None,
    "items": lambda each, v: all(fits(each, item) for item in v),
    "required": lambda keys, v: all(key in v for key in keys),
    "properties": lambda keys, v: all(fits(each, v[key]) for key, each in keys.items() if key in v),
    "dependencies": lambda needed, v: all(key not in v or set(n) <= v.keys() for key, n in needed.items()),
    "oneOf": lambda ways, v: sum(fits(way, v) for way in ways) == 1,
    "anyOf": lambda ways, v: any(fits(way, v) for way in ways),
}
SAY_NOTHING = {"$schema", "title", "description", "default"}


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is valid. A rule that is not known here is an error."""
    rules = {rule: argument for rule, argument in schema.items() if rule not in SAY_NOTHING}
    if "type" in rules and not RULES["type"](rules.pop("type"), value):
        return False
    condition, otherwise = rules.pop("if", {}), rules.pop("else", {})
    others = rules.pop("additionalProperties", None)
    unnamed = value.keys() - schema.get("properties", {}).keys() if others is not None else ()
    if not all(others and fits(others, value[key]) for key in unnamed):
        return False
    if condition and not fits(condition, value) and not fits(otherwise, value):
        return False
    return all(RULES[rule](argument, value) for rule, argument in rules.items())


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_fits_the_schema(name: str) -> None:
    assert fits(SCHEMA, tomllib.loads(shipped_recipes()[name].read_text(encoding="utf-8")))


ALONE = """
[model]
base = "some/base"
[method]
name = "lora"
[task]
name = "e2e"
[train]
epochs = 2
learning_rate = 1e-3
"""
CHILD = 'extends = "e2e_gpt2m"\n'


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (ALONE, True),
        (ALONE + "seed = 1", True),
        (ALONE + "sede = 1", False),
        (ALONE + "seed = -1", False),
        (ALONE + "seed = 1.5", False),
        (ALONE + "shuffle = 1", False),
        (ALONE + 'last_batch = "fil"', False),
        (ALONE + "[decode]\neos_token_ids = [1, -1]", False),
        (ALONE + "[tarin]", False),
        (ALONE.replace('"lora"', '"lora"\nr = 2'), True),
        (ALONE.replace('"lora"', '"lora"\ntargets = []'), False),
        (ALONE.replace('"lora"', '"bitfit"\nr = 2'), False),
        (ALONE.replace('"lora"', '"lroa"'), False),
        (ALONE.replace('name = "lora"', "r = 2"), False),
        (ALONE.replace("learning_rate = 1e-3", ""), False),
        ('unset = ["train.seed"]\n' + ALONE, False),
        (CHILD, True),
        (CHILD + 'unset = ["train.seed"]', True),
        (CHILD + 'unset = ["seed"]', False),
        (CHILD + "[method]\nr = 2", True),
        (CHILD + "[method]\nrank = 2", False),
        (CHILD + '[method]\nname = "adapter"\nsize = 2', True),
        (CHILD + '[method]\nname = "adapter"\nr = 2', False),
        (CHILD + "[train]\nepochs = 3", True),
        (CHILD + "[train]\nepochs = 0", False),
    ],
)
def test_the_schema_refuses_what_the_program_refuses(tmp_path: Path, text: str, good: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert fits(SCHEMA, tomllib.loads(text)) == good
    if good:
        open_recipe(path)
    else:
        with pytest.raises(RecipeError):
            open_recipe(path)
