"""SIGTERM stops every command that trains, evaluates or predicts: one line, and exit code 75."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import CONTEXTS, recipe_overrides
from tests.support import warm

_USR1 = 1 << (signal.SIGUSR1 - 1)
_PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def run(gpt2_base: Path, e2e_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("stop") / "run"
    overrides = recipe_overrides(gpt2_base, e2e_dir, eval__metrics=["bleu"])
    warm.run("train", "e2e_gpt2m", *overrides, "--output", folder).check_returncode()
    return folder


def saves_first(process: warm.Process) -> bool:
    """Whether the process stops gracefully by now: it catches SIGUSR1 then, and SIGTERM before that."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) & _USR1)


def stopped(*arguments: str | Path) -> str:
    """What a command says when SIGTERM comes as soon as the command stops gracefully."""
    with (
        Path(os.devnull).open("r+") as nothing,
        tempfile.TemporaryFile("w+") as said,
        warm.start(*arguments, stdin=nothing, stdout=nothing, stderr=said) as process,
    ):
        deadline = time.monotonic() + _PATIENCE_S
        while process.poll() is None and not saves_first(process):
            assert time.monotonic() < deadline, "the command never stops gracefully"
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code = process.wait(_PATIENCE_S)
        said.seek(0)
        lines = said.read().splitlines()
    assert code == 75, lines
    [line] = lines
    return line


def test_train(gpt2_base: Path, e2e_dir: Path, tmp_path: Path) -> None:
    overrides = recipe_overrides(gpt2_base, e2e_dir, train__epochs=50)
    line = stopped("train", "e2e_gpt2m", *overrides, "--output", tmp_path / "run")
    assert line.startswith(f"error: {tmp_path}/run: stopped ")
    assert line.endswith("run the same command again to continue")


def test_eval(run: Path, tmp_path: Path) -> None:
    line = stopped("eval", run / "adapter", "--output", tmp_path / "eval")
    assert (
        line == f"error: {run}/adapter: evaluation stopped (SIGTERM); run the same command again to continue"
    )
    assert not (tmp_path / "eval").exists()


def test_predict(run: Path) -> None:
    line = stopped("predict", run / "adapter", *CONTEXTS, "--batch-size", "1", "--max-new-tokens", "60")
    assert line == "error: stopped while decoding; run the same command again to continue"


@pytest.mark.parametrize("jobs", [1, 2])
def test_repro(jobs: int, tmp_path: Path) -> None:
    arguments = ("table3", "--rows", "GPT-2 M (LoRA)", "--tasks", "e2e", "--seeds", "0,1", "--quick")
    line = stopped("repro", *arguments, "--jobs", str(jobs), "--output", tmp_path / "runs")
    assert line == "error: interrupted (SIGTERM); run the same command again to continue"
