"""What a shell completes, asked as bash, zsh and fish ask it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.run_folders import write_run

ASKED = {
    "bash": lambda words: {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def completions(shell: str, words: str, cwd: Path) -> str:
    """What the program answers to a shell, and the modules that it needed for it."""
    asked = {"_LORAFIT_COMPLETE": f"complete_{shell}", "PYTHONPATH": str(ROOT)} | ASKED[shell](words)
    code = (
        "import sys; from lorafit.__main__ import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    *answer, heavy = done.stdout.splitlines()
    assert heavy == "False"
    return "\n".join(answer)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    write_run(place / "runs", "e2e_gpt2m", 0, None)
    (place / "mine.toml").write_text('extends = "quickstart"\n')
    return place


@pytest.mark.parametrize("shell", ASKED)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lorafit train qu", {"quickstart"}),
        ("lorafit train mi", {"mine.toml"}),
        ("lorafit merge ru", {"runs/e2e_gpt2m/seed-0/adapter"}),
        ("lorafit runs rm ru", {"runs/e2e_gpt2m/seed-0"}),
        ("lorafit show runs/e", {"runs/e2e_gpt2m/seed-0", "runs/e2e_gpt2m/seed-0/adapter"}),
    ],
)
def test_recipes_adapters_and_runs(shell: str, words: str, expected: set[str], place: Path) -> None:
    answer = completions(shell, words, place)
    assert all(name in answer for name in expected)
    assert "mnli" not in answer


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, place: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "lorafit"],
        cwd=place,
        env=os.environ | {"_LORAFIT_COMPLETE": f"source_{shell}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"_LORAFIT_COMPLETE=complete_{shell}" in made
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=made, text=True, check=True)
