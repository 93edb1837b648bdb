"""A function of one's own that scores: found without being run, run where it is named, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import LorafitError, NotFoundError, RecipeError
from lorafit.metrics.function import function_files
from lorafit.metrics.score import Score
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import find_metric, missing_metrics, score_by, score_texts

GOOD = """
import neighbour

def overlap(predictions, references):
    return sum(p in r for p, r in zip(predictions, references)) / len(predictions)

def several(predictions, references):
    return {"first": 1, "second": 0.25}
"""


def write(folder: Path, text: str, name: str = "metrics.py") -> Path:
    (folder / "neighbour.py").write_text("")
    path = folder / name
    path.write_text(text)
    return path


def scored(path: Path, function: str, predictions: list[Any], references: list[Any]) -> list[Score]:
    return find_metric(f"{path}:{function}", "text").compute(predictions, references)


def test_a_number_is_a_score_by_the_function_s_name_and_a_dict_is_several(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    [score] = scored(path, "overlap", ["a", "b"], [["a", "x"], ["y"]])
    assert (score.name, score.value) == ("overlap", 0.5)
    assert score.signature.startswith("metrics.py:overlap|sha256:")
    assert [(s.name, s.value) for s in scored(path, "several", ["a"], [["a"]])] == [
        ("first", 1.0),
        ("second", 0.25),
    ]
    scores = score_texts(SCORERS["plain"], ["a"], [["a"]], metrics=["exact_match", f"{path}:overlap"])
    assert scores.all == {"exact_match": 1.0, "overlap": 1.0}


def test_it_gets_what_people_read(tmp_path: Path) -> None:
    path = write(tmp_path, "def f(p, r):\n    return float(p == ['good', 'bad'] and r == ['good', 'good'])\n")
    metric = find_metric(f"{path}:f", "label")
    scores = score_by([metric], [1, 0], [1, 1], views={"name": (["good", "bad"], ["good", "good"])})
    assert scores.all == {"f": 1.0}


@pytest.mark.parametrize(
    ("text", "name", "kind", "words"),
    [
        (None, "metrics.py:f", NotFoundError, "metrics.py: no such file of metrics"),
        ("def overlap(p, r):\n    pass\n", "metrics.py:overlop", RecipeError, "did you mean 'overlap'?"),
        ("import math\n", "metrics.py:f", RecipeError, "no function 'f'; it has math"),
        ("def f(p, r)\n    pass\n", "metrics.py:f", RecipeError, "metrics.py:1: is no Python"),
        ("f = 3\n", "metrics.py:f", RecipeError, "'f' is no function"),
        (
            "import nowhere_at_all\n\ndef f(p, r):\n    pass\n",
            "metrics.py:f",
            NotFoundError,
            "metrics.py:1: Module",
        ),
        (
            "def f(p, r):\n    pass\n\n1 / 0\n",
            "metrics.py:f",
            NotFoundError,
            "metrics.py:4: ZeroDivisionError",
        ),
    ],
)
def test_a_file_or_function_that_cannot_be_used_is_said_before_anything_begins(
    text: str | None, name: str, kind: type[LorafitError], words: str, tmp_path: Path
) -> None:
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(kind) as caught:
        missing_metrics([find_metric(f"{tmp_path}/{name}", "text")])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_naming_a_function_does_not_run_its_file(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = write(
        tmp_path, f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n\ndef f(p, r):\n    return 1\n"
    )
    metric = find_metric(f"{path}:f", "text")
    assert not mark.exists()
    metric.compute(["a"], [["a"]])
    assert mark.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    return p[7]", "metrics.py:2: IndexError: list index out of range"),
        ("    return 'high'", "returned 'high'; a number is expected"),
        ("    return None", "returned None; a number is expected"),
        ("    return True", "returned True; a number is expected"),
        ("    return [1, 2]", "returned [1, 2]; a number is expected"),
        ("    return float('nan')", "returned nan"),
        ("    return {}", "returned no score"),
        ("    return {3: 1.0}", "called a score 3, which is no name"),
    ],
)
def test_a_function_that_fails_or_returns_something_else_has_a_reason(
    body: str, words: str, tmp_path: Path
) -> None:
    [score] = scored(write(tmp_path, f"def f(p, r):\n{body}\n"), "f", ["a"], [["a"]])
    assert score.value is None
    assert words in score.reason


def test_a_file_is_run_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it was written in the second of the one before, with as many characters; nothing is left beside it."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    file = tmp_path / "mine.py"
    for value in (1, 2, 3):
        file.write_text(f"def same(predictions, references):\n    return {value}.0\n")
        os.utime(file, (1_000_000_000, 1_000_000_000))
        assert [score.value for score in scored(file, "same", ["a"], [["a"]])] == [value]
    assert list(tmp_path.iterdir()) == [file]


def test_its_file_is_known_by_its_hash(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    before = function_files(["bleu", f"{path}:overlap"])
    path.write_text(GOOD + "# changed\n")
    after = function_files(["bleu", f"{path}:overlap"])
    assert before.keys() == after.keys() == {f"{path}:overlap"}
    assert before != after
