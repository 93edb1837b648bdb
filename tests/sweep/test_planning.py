"""Planning a large sweep: what its members share is found once, and the rest costs the same for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.run.plan import load_plan
from lorafit.sweep.sweep import Axes, SweepPlan, plan_sweep
from tests.conftest import Done, recipe_overrides
from tests.support.calls import calls_of

_TOKENS = ("unset=train.batch_size", "unset=train.last_batch")
_MOST_CALLS = 3_000  # of Python functions, for a member more


def test_what_members_share_is_found_once(gpt2_base: Path, e2e_dir: Path) -> None:
    chosen = [text for text in recipe_overrides(gpt2_base, e2e_dir) if text != "--set"]
    grid = {"train.learning_rate": (1e-4, 1e-3), "method.r": (2, 4)}

    def planned(num_seeds: int) -> SweepPlan:
        return plan_sweep("e2e_gpt2m", chosen, Axes(grid, range(num_seeds)), None)

    planned(1)  # imports and caches
    few, many = calls_of(lambda: planned(5)), calls_of(lambda: planned(25))
    for name, count in (("load_rows", 1), ("load_config", 1), ("skeleton", 2), ("Ordering.planned", 1)):
        assert (few[name], many[name]) == (count, count), name
    assert many.total() - few.total() <= _MOST_CALLS * 4 * 20


def test_each_plan_is_the_one_that_it_would_be_alone(gpt2_base: Path, e2e_dir: Path) -> None:
    chosen = [text for text in recipe_overrides(gpt2_base, e2e_dir) if text != "--set"]
    grid: dict[str, tuple[Any, ...]] = {
        "method.r": (2, 4),
        "train.lora_plus_ratio": (1.0, 4.0),
        "data.max_length": (32, 64),
        "train.batch_tokens": (200, 400),
    }
    for job in plan_sweep("e2e_gpt2m", [*chosen, *_TOKENS], Axes(grid, (0, 1)), None).jobs:
        train = job.plan.recipe.train
        own = {
            "method.r": job.plan.method.options()["r"],
            "train.lora_plus_ratio": train.lora_plus_ratio,
            "data.max_length": job.plan.recipe.data.max_length,
            "train.batch_tokens": train.batch_tokens,
            "train.seed": train.seed,
        }
        overrides = [*chosen, *_TOKENS, *(f"{key}={value}" for key, value in own.items())]
        alone = load_plan("e2e_gpt2m", overrides)
        for name, value in vars(job.plan).items():
            assert name in ("rows", "config", "objective") or value == getattr(alone, name), name


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ({"data.max_length": (32, 64)}, "data.max_length"),
        ({"data.seed": (0, 1)}, ""),
        ({"data.seed": (0, 1), "data.valid": (0.5,)}, "data.seed"),
        ({"model.dtype": ("float32", "bfloat16")}, ""),
    ],
)
def test_runs_that_are_asked_otherwise_are_named(
    gpt2_base: Path, e2e_dir: Path, axes: dict[str, tuple[Any, ...]], named: str
) -> None:
    chosen = [text for text in recipe_overrides(gpt2_base, e2e_dir) if text != "--set"]
    notes = plan_sweep("e2e_gpt2m", chosen, Axes(axes), None).notes()
    found = [note for note in notes if note.startswith(f"the runs differ in {named}, so each may be")]
    assert len(found) == bool(named)
    assert len(notes) == 1 + bool(named)


def test_a_dry_run_of_thousands_shows_settings_and_counts_the_rest(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path
) -> None:
    rates = ",".join(f"{n}e-5" for n in range(1, 61))
    command = ["sweep", "e2e_gpt2m", *recipe_overrides(gpt2_base, e2e_dir), "--grid"]
    said = cli(*command, f"train.learning_rate={rates}", "--seeds", "0..9,12", "--dry-run").stdout
    lines = said.splitlines()
    assert len(lines) < 60
    assert sum("0..9,12" in line for line in lines) == 50
    assert "10 more settings" in said
    assert "660 runs" in said


def test_the_grid_may_give_what_the_recipe_lacks(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path
) -> None:
    given = [text for text in recipe_overrides(gpt2_base, e2e_dir) if text not in ("--set", "train.epochs=1")]
    chosen = [option for text in given for option in ("--set", text)]
    command = ["sweep", "e2e_gpt2m", *chosen, "--unset", "train.epochs", "--dry-run"]
    planned = json.loads(cli(*command, "--grid", "train.max_steps=3,7", "--json").stdout)
    assert [member["steps"] for member in planned["members"]] == [3, 7]
    assert "needs 'epochs' or 'max_steps'" in cli(*command, "--grid", "method.r=2,4", code=2).stderr
