"""A base or rows named by a relative path are found from elsewhere; where two could be meant, the hashes decide."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.adapters import read_adapter
from tests.conftest import recipe_overrides


@pytest.fixture
def place(
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    gpt2_base: Path,
    e2e_dir: Path,
) -> Path:
    """A folder in which a run named everything by relative paths; the working directory is another one now."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(gpt2_base, home / "bases" / "mine")
    shutil.copytree(e2e_dir, home / "rows")
    monkeypatch.chdir(home)
    overrides = recipe_overrides(Path("bases/mine"), Path("rows"), eval__metrics=["bleu"])
    cli("train", "e2e_gpt2m", *overrides, "--output", "run")
    assert json.loads(Path("run/adapter/adapter.json").read_text())["base"]["id"] == "bases/mine"
    monkeypatch.chdir(elsewhere)
    return home


def scores(cli: Callable[..., Any], place: Path) -> Any:
    done = cli("eval", place / "run" / "adapter", "--metric", "bleu", "--output", "out", "--json")
    return json.loads(done.stdout)["scores"]


def test_an_adapter_is_used_from_elsewhere(
    cli: Callable[..., Any], place: Path, make_base: Callable[..., Path]
) -> None:
    adapter = place / "run" / "adapter"
    assert read_adapter(adapter).card.paths == {
        "bases/mine": str(place / "bases" / "mine"),
        "rows": str(place / "rows"),
    }
    wanted = json.loads((place / "run" / "scores.json").read_text())["scores"]
    assert scores(cli, place) == wanted
    cli("verify", adapter)
    cli("export", adapter, "exported")
    config = json.loads(Path("exported/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(place / "bases" / "mine")
    shutil.copytree(make_base("gpt2", seed=9), "bases/mine")  # another base of that name, which is not it
    shutil.copytree(place / "rows", "rows")
    Path("rows/test.txt").write_text("name : X||Y\n")
    assert scores(cli, place) == wanted
    shutil.rmtree("bases")
    shutil.copytree(place / "bases", "bases")  # the very one
    shutil.rmtree(place / "bases")
    assert scores(cli, place) == wanted
    shutil.rmtree("bases")
    error = cli("verify", adapter, code=3).stderr
    assert f"its base bases/mine is neither here nor where it was ({place / 'bases' / 'mine'})" in error
    assert "use --base … (where it is now)" in error


def test_a_runs_recipe_is_carried_out_from_elsewhere(cli: Callable[..., Any], place: Path) -> None:
    recipe = place / "run" / "recipe.toml"
    assert f'paths_from = "{place}"' in recipe.read_text()
    assert "finished already" in cli("train", recipe, "--output", place / "run").stdout
    plan = json.loads(cli("train", recipe, "--dry-run", "--json").stdout)["recipe"]
    assert (plan["model"]["base"], plan["data"]["dir"]) == (str(place / "bases/mine"), str(place / "rows"))
