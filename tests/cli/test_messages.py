"""A user's mistake ends in one clear line on stderr and its exit code, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import recipe_overrides
from tests.support import warm


def test_help_and_version(lorafit) -> None:
    assert "Exit codes: 0 done" in lorafit("--help").stdout
    assert lorafit("--version").stdout.startswith("lorafit ")


def test_a_misspelt_key(cli, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    text = Path("recipes/e2e_gpt2m.toml").read_text().replace("r = 4 ", "rnak = 4 ")
    recipe.write_text(text)
    done = cli("train", recipe, code=2)
    assert done.stderr == f"error: {recipe} [method] rnak: unknown key; did you mean 'r'?\n"


def test_a_missing_data_file(cli, gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.txt"
    overrides = recipe_overrides(gpt2_base, e2e_dir, data__train=missing)
    done = cli("train", "e2e_gpt2m", *overrides, "--output", tmp_path / "run", code=3)
    assert str(missing) in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_row_without_its_bars(cli, gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_text("name : A||A is a place .\nname : B|B is a place .\n")
    overrides = recipe_overrides(gpt2_base, e2e_dir, data__train=broken)
    done = cli("train", "e2e_gpt2m", *overrides, "--output", tmp_path / "run", code=3)
    assert f"{broken}:2:" in done.stderr


def test_a_base_that_is_not_there(cli, e2e_dir: Path, tmp_path: Path) -> None:
    done = cli("train", "e2e_gpt2m", *recipe_overrides(tmp_path / "none", e2e_dir), code=3)
    assert "no such folder" in done.stderr


def test_a_target_that_matches_nothing(cli, gpt2_base: Path, e2e_dir: Path) -> None:
    overrides = recipe_overrides(gpt2_base, e2e_dir, method__targets=["q_proj"])
    done = cli("train", "e2e_gpt2m", *overrides, "--dry-run", code=2)
    assert "target 'q_proj' matches no module" in done.stderr
    assert "attn.c_attn" in done.stderr
    assert "query, key, value" in done.stderr


def test_a_recipe_that_is_not_there(cli) -> None:
    assert "did you mean 'e2e_gpt2m'" in cli("train", "e2e_gpt2n", code=2 + 1).stderr


def test_an_adapter_that_is_none(cli, tmp_path: Path) -> None:
    assert "no such adapter folder" in cli("eval", tmp_path / "nothing", code=3).stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = warm.run("eval", tmp_path / "nothing", "--debug")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == f"error: {tmp_path}/nothing: no such adapter folder"
    assert done.returncode == 3


def test_dry_run_counts_the_papers_parameters(cli) -> None:
    plan = json.loads(cli("train", "e2e_gpt2m", "--dry-run", "--json").stdout)
    assert plan["trainable"] == 393_216  # 24 layers x 2 matrices x 2 factors x 1024 x 4
    assert plan["total"] == 354_823_168
    assert plan["steps"] == 26_290  # ceil(42061 / 8) x 5
    text = cli("train", "e2e_gpt2m", "--dry-run").stdout
    assert "trainable parameters: 393,216" in text


def test_the_list_of_recipes(cli) -> None:
    recipes = json.loads(cli("recipes", "--json").stdout)
    assert "e2e_gpt2m" in {recipe["name"] for recipe in recipes}
