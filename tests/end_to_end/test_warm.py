"""A process of tests that has imported everything before is what an interpreter of its own is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import warm


@pytest.mark.parametrize("text", ["[1, 2]", "[", ""])
def test_it_reads_writes_and_ends_as_an_interpreter_does(text: str) -> None:
    interpreters = (sys.executable, warm.interpreter())
    ended = [
        subprocess.run([each, "-m", "json.tool"], input=text, capture_output=True, text=True, check=False)
        for each in interpreters
    ]
    ended.append(warm.run(module="json.tool", stdin=text))
    assert len({(each.returncode, each.stdout, each.stderr) for each in ended}) == 1


def test_it_is_alone_in_its_working_folder_and_draws_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy, os, random, sys\n"
        "print(sys.argv[1:], __name__, os.getcwd(), os.environ['MINE'], random.random(), numpy.random.rand())\n"
    )
    found = [
        warm.run("a", module="mine", cwd=tmp_path, env=os.environ | {"MINE": "1"}).stdout.split()
        for _ in range(2)
    ]
    assert found[0][:4] == found[1][:4] == ["['a']", "__main__", str(tmp_path), "1"]
    assert found[0][4] != found[1][4]
    assert found[0][5] != found[1][5]


def test_a_signal_ends_it() -> None:
    reading, writing = os.pipe()
    with warm.start(module="json.tool", stdin=reading, stdout=1, stderr=2) as process:
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    os.close(reading)
    os.close(writing)


def test_what_libraries_read_when_they_are_imported_cannot_change() -> None:
    with pytest.raises(ValueError, match="HF_ENDPOINT is read"):
        warm.run("--version", env=os.environ | {"HF_ENDPOINT": "http://localhost"})
