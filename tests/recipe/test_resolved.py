"""Every shipped recipe resolves to what it was when each was still a complete file of its own.

`resolved_recipes.json` was made then: `usual` has the value that most recipes have, and each recipe names its own
where it differs. A key that is null was left to its default of "none". Keys and recipes that came later are not in it.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lorafit.recipe import to_toml
from lorafit.run.recipes import open_recipe

ASSET = json.loads((Path(__file__).parents[1] / "assets" / "resolved_recipes.json").read_text("utf-8"))
EXPECTED: dict[str, dict[str, Any]] = {name: ASSET["usual"] | own for name, own in ASSET["recipes"].items()}


def test_the_file_holds_all_recipes_of_the_papers_tables() -> None:
    assert len(EXPECTED) == 156 + 1  # and the quickstart
    assert all(len(keys) >= 49 for keys in EXPECTED.values())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recipe_is_what_it_was(name: str) -> None:
    document = tomllib.loads(to_toml(open_recipe(name)))
    assert document["name"] == name
    resolved = {f"{s}.{key}": v for s, table in document.items() if s != "name" for key, v in table.items()}
    different = {
        key: (expected, resolved.get(key))
        for key, expected in EXPECTED[name].items()
        if resolved.get(key) != expected or type(resolved.get(key)) is not type(expected)
    }
    assert different == {}
