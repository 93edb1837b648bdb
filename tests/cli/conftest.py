"""The command line inside the test's own process: as `lorafit` in the parent folder, without the wait for imports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lorafit.__main__ import main


@dataclass(frozen=True)
class Done:
    """What a command wrote."""

    stdout: str
    stderr: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command; `code` is the exit code that is expected."""

    def run(*arguments: str | Path, code: int = 0) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["lorafit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        done = Done(captured.out, captured.err)
        assert (ended.value.code or 0) == code, f"{ended.value.code}\n{done.stdout}\n{done.stderr}"
        if code:
            assert "Traceback" not in done.stderr
        return done

    return run
