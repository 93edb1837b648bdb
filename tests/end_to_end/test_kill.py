"""Processes that are killed at random moments, and started again until the run is finished."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import recipe_overrides
from tests.support import warm

SCRIPT = "scripts.stress.kill_resume"


def test_eight_kills_change_nothing(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    changes = {"train__checkpoint_every": 2, "eval__metrics": ["bleu"], "eval__batch_size": 2}
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=3, method__dropout=0.2, **changes)
    arguments = ("e2e_gpt2m", *overrides, "--kills", "8", "--seed", "1", "--folder", str(tmp_path))
    done = warm.run(*arguments, module=SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 kills" in done.stdout
    assert "equal: " in done.stdout


def test_a_family_that_is_killed_goes_on(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    changes = {"train__checkpoint_every": 2, "eval__metrics": ["bleu"]}
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, method__dropout=0.2, **changes)
    sweep = (*overrides, "--seeds", "0", "1", "--grid", "method.r=2,4")
    done = warm.run("e2e_gpt2m", *sweep, "--kills", "4", "--seed", "1", "--folder", tmp_path, module=SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal: " in done.stdout
