"""The shipped recipes: found by name, each one plans, and none names a key that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafit.errors import NotFoundError
from lorafit.methods import METHODS
from lorafit.recipe import find_recipe, list_recipes, read_recipe, shipped_recipes


def test_there_are_recipes() -> None:
    assert {"quickstart", "e2e_gpt2m"} <= shipped_recipes().keys()


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_parses(name: str) -> None:
    recipe = read_recipe(find_recipe(name), [], METHODS)
    assert recipe.name == name


def test_the_list_tells_what_a_recipe_stands_for() -> None:
    line = next(summary for summary in list_recipes() if summary.name == "e2e_gpt2m")
    assert (line.task, line.base, line.method) == ("e2e", "openai-community/gpt2-medium", "lora")
    assert (line.table, line.row) == ("3", "GPT-2 M (LoRA)")


@pytest.mark.parametrize("name", ["e2e_gpt2m", "e2e_gpt2m.toml"])
def test_by_name(name: str) -> None:
    assert find_recipe(name).name == "e2e_gpt2m.toml"


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'e2e_gpt2m'"):
        find_recipe("e2e_gtp2m")
    with pytest.raises(NotFoundError, match="is a folder"):
        find_recipe(str(tmp_path))
