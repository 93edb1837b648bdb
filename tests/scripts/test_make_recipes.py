"""The recipes in the repository are what scripts/make_recipes.py makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = {"quickstart.toml"}


def make(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "make_recipes.py", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_the_files_equal_what_the_script_makes(tmp_path: Path) -> None:
    done = make("--output", tmp_path)
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_text() for path in tmp_path.glob("*.toml")}
    ours = {path.name: path.read_text() for path in (ROOT / "recipes").glob("*.toml")}
    assert made.keys() == ours.keys() - BY_HAND
    assert [name for name in made if made[name] != ours[name]] == []


def test_the_check_names_what_was_changed_by_hand(tmp_path: Path) -> None:
    make("--output", tmp_path)
    assert make("--output", tmp_path, "--check").returncode == 0
    changed = tmp_path / "e2e_gpt2m.toml"
    changed.write_text(changed.read_text().replace("alpha = 32", "alpha = 16"))
    (tmp_path / "rte_roberta_base.toml").unlink()
    (tmp_path / "nobodys.toml").write_text("")
    done = make("--output", tmp_path, "--check")
    assert done.returncode == 1
    for name, what in (
        ("e2e_gpt2m", "differs"),
        ("rte_roberta_base", "missing"),
        ("nobodys", "nobody makes"),
    ):
        assert any(name in line and what in line for line in done.stdout.splitlines()), done.stdout
