"""The process group of a command that stops gracefully."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lorafit.cli.stopping import stoppable
from lorafit.errors import InterruptedRunError, RecipeError
from tests.conftest import ROOT


def test_a_signal_stops_the_work_at_its_next_check() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable() as group:
        group.stop_if_asked()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(InterruptedRunError, match="SIGTERM"):
            group.stop_if_asked()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_time_limit_counts_from_the_start_of_the_process() -> None:
    with stoppable("1s") as group, pytest.raises(InterruptedRunError, match="the time limit"):
        group.stop_if_asked()  # it took longer than that to begin with the tests
    with stoppable("2d") as group:
        group.stop_if_asked()
    with pytest.raises(RecipeError, match="--time-limit soon"), stoppable("soon"):
        pass


def test_only_a_distributed_command_runs_as_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(RecipeError, match="runs as one process; start it without torchrun or srun"),
        stoppable(),
    ):
        pass


TERMINATED = """
import signal, sys
from pathlib import Path
import lorafit.cli.app
from lorafit.__main__ import main
from lorafit.files import new_folder

def half(**_):
    with new_folder(Path(sys.argv[1])) as folder:
        (folder / "model.safetensors").write_text("half")
        signal.raise_signal(signal.SIGTERM)

lorafit.cli.app.app = half
main()
"""


def test_a_command_that_is_terminated_leaves_nothing_half_written(tmp_path: Path) -> None:
    """One that knows no better; those that can save and go on catch the signal themselves."""
    command = [sys.executable, "-c", TERMINATED, str(tmp_path / "merged")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
    assert [*tmp_path.iterdir()] == []
