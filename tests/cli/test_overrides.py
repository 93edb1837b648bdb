"""--set and --unset, wherever a command takes a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import COMMANDS, options


def test_every_command_with_set_has_unset() -> None:
    with_set = {name for name in COMMANDS if "--set" in options(name)}
    assert with_set == {"train", "sweep", "data show", "fetch", "repro"}
    assert with_set == {name for name in COMMANDS if "--unset" in options(name)}


@pytest.mark.parametrize(
    "unset",
    [
        ("--unset", "train.warmup_steps"),
        ("--set", "unset=train.warmup_steps"),  # so `repro` hands it to its processes
    ],
)
def test_train_without_a_key(cli, unset: tuple[str, str]) -> None:
    text = cli("train", "e2e_gpt2m", *unset, "--set", "train.warmup_ratio=0.1", "--dry-run").stdout
    assert "warmup_ratio = 0.1" in text
    assert "warmup_steps" not in text


def test_repro_without_a_key(cli, gpt2_base: Path) -> None:
    base = ("--set", f"model.base={gpt2_base}")  # a small one, since the estimate makes a few steps
    chosen = ("table3", "--rows", "GPT-2 M (Adapter-L 0.37M)", "--seeds", "0", *base, "--dry-run", "--json")
    (usual,) = json.loads(cli("repro", *chosen).stdout)
    (changed,) = json.loads(cli("repro", *chosen, "--unset", "train.batch_size").stdout)
    assert usual["steps"] == 10 * 8_413  # 42,061 rows, 5 a step
    assert changed["steps"] == 10 * 5_258  # 8 a step, the default


@pytest.mark.parametrize(
    "command", [("train", "e2e_gpt2m"), ("data", "show", "e2e_gpt2m"), ("fetch", "e2e_gpt2m")]
)
def test_a_key_that_the_recipe_does_not_set(cli, command: tuple[str, ...]) -> None:
    done = cli(*command, "--unset", "train.warmup", code=2)
    assert done.stderr == (
        "error: override: there is no 'train.warmup' to unset; did you mean 'train.warmup_steps'?\n"
    )


def test_the_dry_run_shows_the_whole_of_a_recipe_that_extends_another(cli, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "e2e_gpt2m"\n[method]\nr = 8\n')
    text = cli("train", mine, "--dry-run").stdout
    assert "extends" not in text
    assert all(line in text for line in ('name = "mine"', "r = 8", "alpha = 32.0", "warmup_steps = 500"))
