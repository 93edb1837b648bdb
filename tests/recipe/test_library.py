"""The shipped recipes: found by name and by path, and all of them in the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lorafit.errors import NotFoundError
from lorafit.recipe import find_recipe, shipped_recipes
from lorafit.run.recipes import open_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_parses(name: str) -> None:
    recipe = open_recipe(name)
    assert recipe.name == name


def test_no_two_files_share_a_name() -> None:
    files = list((ROOT / "recipes").rglob("*.toml"))
    assert len({file.stem for file in files}) == len(files) == len(shipped_recipes())


def test_the_package_ships_them_all() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["package-data"]["lorafit"]
    shipped = {f for pattern in patterns for f in (ROOT / "lorafit").glob(pattern)}
    inside = ROOT / "lorafit" / "recipes"
    files = {inside / file.relative_to(ROOT / "recipes") for file in (ROOT / "recipes").rglob("*.*")}
    assert files <= shipped


@pytest.mark.parametrize("name", ["e2e_gpt2m", "e2e_gpt2m.toml"])
def test_by_name(name: str) -> None:
    assert find_recipe(name).name == "e2e_gpt2m.toml"


@pytest.mark.parametrize("name", ["e2e_gpt2m_r8", "e2e_gpt2m_r8.toml", "table18/e2e_gpt2m_r8.toml"])
def test_by_name_or_by_its_path_in_the_list(name: str) -> None:
    assert find_recipe(name) == shipped_recipes()["e2e_gpt2m_r8"]


def test_a_file_wins_over_a_shipped_recipe_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "e2e_gpt2m.toml"
    mine.write_text("")
    assert find_recipe("e2e_gpt2m.toml", tmp_path) == mine
    monkeypatch.chdir(tmp_path)
    assert find_recipe("e2e_gpt2m.toml") == Path("e2e_gpt2m.toml")
    assert find_recipe("e2e_gpt2m") == shipped_recipes()["e2e_gpt2m"]


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'e2e_gpt2m'"):
        find_recipe("e2e_gtp2m")
    with pytest.raises(NotFoundError, match="did you mean 'e2e_gpt2m_r8'"):
        find_recipe("recipes/e2e_gpt2m_r8.toml")  # it lies in a folder of its own
    with pytest.raises(NotFoundError, match="is a folder"):
        find_recipe(str(tmp_path))
