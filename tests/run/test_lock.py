"""One process at a time in a run folder; the dead hold nothing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lorafit.errors import LorafitError
from lorafit.run.files.lock import LOCK_FILE, Holder, _start_time, locked

HOLD = """
import sys, time
from pathlib import Path
from lorafit.run.files.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_a_dead_one_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LorafitError, match=f"process {other.pid} .* works on this run"), locked(folder):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert (folder / LOCK_FILE).exists()
    with locked(folder):
        (folder / "result").touch()
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_the_child_of_a_killed_holder_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    path.write_text(json.dumps(asdict(replace(Holder.this(), started="1"))))
    with path.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with subprocess.Popen(["sleep", "0.4"], pass_fds=[stream.fileno()]):
            stream.close()
            with locked(tmp_path):
                pass


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data"), locked(tmp_path / "run"):
        raise ValueError("no data")
    assert not (tmp_path / "run").exists()


def test_another_machine_cannot_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = replace(Holder.this(), host="elsewhere", job="77")
    (tmp_path / LOCK_FILE).write_text(json.dumps(asdict(holder)))
    with pytest.raises(LorafitError, match=r"on elsewhere \(Slurm job 77\).*delete"), locked(tmp_path):
        pass
    monkeypatch.setenv("SLURM_JOB_ID", "77")  # Slurm has requeued that job, so its process is gone
    with locked(tmp_path):
        pass


def test_who_is_dead() -> None:
    me = Holder.this()
    assert not me.is_dead()
    assert replace(me, started="1").is_dead()  # the number is in use again
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert replace(me, pid=child.pid).is_dead()


def test_a_process_that_has_ended_unnoticed_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = Holder(Holder.this().host, child.pid, _start_time(child.pid), None)
    assert not holder.is_dead()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
    assert holder.is_dead()
    child.communicate()
