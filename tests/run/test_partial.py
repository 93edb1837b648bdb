"""What is done of a long job outlives a kill at any byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import RecipeError
from lorafit.run.files.partial import PartialFile

JOB = {"rows": "a", "settings": "b"}
VALUES: list[dict[str, Any]] = [{"prediction": "x\u2028y"}, {"prediction": ["a", "b"]}, {"prediction": 0.1}]


def test_whole_lines_are_kept_wherever_the_file_ends(tmp_path: Path) -> None:
    whole = PartialFile(tmp_path / "whole.jsonl", JOB)
    assert whole.read() == []
    for value in VALUES:
        whole.add(value)
    content = whole.path.read_bytes()
    assert whole.path.name == "whole.jsonl.partial"
    for length in range(len(content) + 1):
        cut = PartialFile(tmp_path / "cut.jsonl", JOB)
        cut.path.write_bytes(content[:length])
        num_done = max(content[:length].count(b"\n") - 1, 0)
        assert cut.read() == VALUES[:num_done]
        for value in VALUES[num_done:]:
            cut.add(value)
        assert cut.path.read_bytes() == content


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"rows": "c", "settings": "b"}, "was begun with other rows; give the same again"),
        ({"rows": "c", "settings": "d"}, "was begun with other rows and settings"),
    ],
)
def test_another_job_is_refused(tmp_path: Path, job: dict[str, str], said: str) -> None:
    PartialFile(tmp_path / "a", JOB).read()
    with pytest.raises(RecipeError, match=said) as caught:
        PartialFile(tmp_path / "a", job).read()
    assert "choose another `output`, or delete that file to begin anew" in str(caught.value)


def test_it_goes_when_all_is_done(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "a", JOB)
    partial.read()
    partial.drop()
    assert not list(tmp_path.iterdir())
