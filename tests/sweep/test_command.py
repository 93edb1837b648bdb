"""`lorafit sweep` from the command line to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lorafit.page.members import find_members
from lorafit.run.recipes import open_recipe
from tests.conftest import Done, recipe_overrides


def test_a_sweep_leaves_runs_and_an_answer(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    changes = {"train__batch_size": 8, "eval__metrics": ["bleu"], "data__valid": 0.2}
    chosen = recipe_overrides(gpt2_base, e2e_dir / "train.txt", **changes)
    chosen = [text.replace("data.dir=", "data.train=") for text in chosen]
    chosen += ["--set", f"data.test={e2e_dir / 'test.txt'}"]
    grid = ["--grid", "train.learning_rate=0.001,0.03", "--grid", "method.r=2,4", "--seeds", "0..1"]
    command = ["sweep", "e2e_gpt2m", *chosen, *grid, "--output", tmp_path / "out"]
    planned = json.loads(cli(*command, "--dry-run", "--json").stdout)
    assert [each["way"] for each in planned["members"]] == ["together"] * 8
    assert not (tmp_path / "out").exists()

    said = json.loads(cli(*command, "--json").stdout)
    written = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert said["members"] == written["members"]
    assert [each["state"] for each in written["members"]] == ["finished"] * 8
    first = written["members"][0]
    assert first["overrides"] == {"train.learning_rate": 0.001, "method.r": 2}
    assert (tmp_path / "out" / first["run"] / "adapter" / "adapter.json").is_file()
    assert set(first["scores"]) == {"bleu"}
    best = written["members"][written["best"]]
    least = min(written["rows"], key=lambda row: row["loss"]["mean"])
    assert best["overrides"] == least["overrides"]

    recipe = open_recipe(tmp_path / "out" / "best.toml")
    assert recipe.train.learning_rate == best["overrides"]["train.learning_rate"]
    assert recipe.data.valid is None, "on all training rows"
    found = find_members([tmp_path / "out"])
    assert found.is_sweep
    assert len(found.members) == 8

    again = cli(*command, "--apply", "best", "--json")
    assert "is best" in json.loads(again.stdout)["answer"]
    assert (tmp_path / "out" / "best" / "adapter" / "adapter.json").is_file()


def test_a_recipe_may_say_what_varies(cli: Callable[..., Done], gpt2_base: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    sweep = '\n[sweep]\nseeds = [1, 2]\ngrid = {"method.r" = [2, 4]}\n'
    head = f'extends = "e2e_gpt2m"\n[model]\nbase = "{gpt2_base}"\n'
    recipe.write_text(head + sweep)
    planned = json.loads(cli("sweep", recipe, "--dry-run", "--json").stdout)
    assert [each["seed"] for each in planned["members"]] == [1, 2, 1, 2]
    fewer = cli("sweep", recipe, "--grid", "method.r=8", "--seeds", "3", "--dry-run", "--json")
    [only] = json.loads(fewer.stdout)["members"]
    assert (only["overrides"], only["seed"]) == ({"method.r": 8}, 3)
    assert "nothing varies" in cli("sweep", "e2e_gpt2m", "--dry-run", code=2).stderr
    unknown = cli("sweep", recipe, "--grid", "method.rank=2", "--dry-run", code=2)
    assert "did you mean 'r'" in unknown.stderr


def test_seeds_of_a_run_have_a_folder_that_is_no_run(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").touch()
    command = ["train", "e2e_gpt2m", *recipe_overrides(gpt2_base, e2e_dir), "--seeds", "0,1"]
    refused = cli(*command, "--output", tmp_path, code=2)
    assert "is the folder of a run, and not of several" in refused.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_after_a_mistake_the_answer_says_how_far_each_is(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    chosen = recipe_overrides(gpt2_base, e2e_dir, eval__metrics=["bleu"])
    command = ["sweep", "e2e_gpt2m", *chosen, "--output", tmp_path / "out"]
    cli(*command, "--grid", "data.max_length=128,2", code=3)
    written = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [each["state"] for each in written["members"]] == ["finished", "waiting"]
    assert (tmp_path / "out" / "best.toml").is_file()


def test_a_recipe_of_an_answer_before_does_not_stay(
    cli: Callable[..., Done], gpt2_base: Path, e2e_dir: Path, tmp_path: Path
) -> None:
    chosen = recipe_overrides(gpt2_base, e2e_dir, train__max_steps=3, train__warmup_steps=0)
    (tmp_path / "best.toml").touch()
    cli("sweep", "e2e_gpt2m", *chosen, "--grid", "train.learning_rate=1e30", "--output", tmp_path, code=5)
    assert json.loads((tmp_path / "sweep.json").read_text())["best"] is None
    assert not (tmp_path / "best.toml").exists()
