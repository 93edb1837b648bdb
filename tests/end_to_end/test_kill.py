"""Processes that are killed at random moments, and started again until the run is finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, recipe_overrides


def test_twenty_kills_change_nothing(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    changes = {"train__checkpoint_every": 2, "eval__metrics": ["bleu"], "eval__batch_size": 2}
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=3, method__dropout=0.2, **changes)
    command = [sys.executable, "scripts/stress/kill_resume.py", "e2e_gpt2m", *overrides]
    command += ["--kills", "20", "--seed", "1", "--folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 kills" in done.stdout
    assert "equal: " in done.stdout


def test_a_family_that_is_killed_goes_on(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    changes = {"train__checkpoint_every": 2, "eval__metrics": ["bleu"]}
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=2, method__dropout=0.2, **changes)
    command = [sys.executable, "scripts/stress/kill_resume.py", "e2e_gpt2m", *overrides, "--seeds", "0", "1"]
    command += ["--grid", "method.r=2,4", "--kills", "4", "--seed", "1", "--folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal: " in done.stdout
