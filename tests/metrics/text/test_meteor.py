"""METEOR: the jar's own batch figure where there is Java, and a reason where there is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lorafit.metrics import METRICS
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import score_texts
from lorafit.metrics.text.meteor import Meteor, find_jar

needs_java = pytest.mark.skipif(
    METRICS["meteor"].unavailable() is not None, reason="METEOR needs Java and its jar"
)


def batch_figure(folder: Path, predictions: list[str], references: list[list[str]]) -> float:
    """What `meteor-1.5.jar hypotheses references -l en -norm -r 3` prints; an empty line is missing."""
    lines = [text for group in references for text in [*group, *[""] * (3 - len(group))]]
    for name, texts in (("hypotheses", predictions), ("references", lines)):
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    command = ["java", "-Dfile.encoding=UTF-8", "-jar", str(find_jar()), "hypotheses", "references"]
    options = ["-l", "en", "-norm", "-r", "3"]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


@needs_java
def test_every_part_has_the_jars_figure(
    tmp_path: Path, predictions: list[str], references: list[list[str]]
) -> None:
    predictions[2] = ""
    odd = [text.replace(" is a ", "\nis\r\na ||| ") for text in predictions]  # line ends, the jar's separator
    assert odd != predictions
    parts = METRICS["meteor"].compute_parts(odd, references, {"all": range(4), "some": [1, 3]})
    figures = {part: score.value for part, [score] in parts.items()}
    assert figures["all"] == batch_figure(tmp_path, predictions, references)
    assert (
        METRICS["meteor"].compute_parts(odd, references, {"all": range(4), "some": [1, 3]}) == parts
    )  # it goes on
    assert figures["some"] is not None
    assert figures["some"] > figures["all"]  # the empty prediction is in no part but "all"


def test_without_java_there_is_a_reason_and_everything_else(
    monkeypatch: pytest.MonkeyPatch, predictions: list[str], references: list[list[str]]
) -> None:
    monkeypatch.setenv("PATH", "")
    reason = METRICS["meteor"].unavailable()
    assert reason is not None
    assert "install a Java runtime" in reason
    scores = score_texts(SCORERS["e2e-metrics"], predictions, references)
    assert scores.all["meteor"] is None
    assert scores.reasons == {"meteor": reason}
    assert [name for name, value in scores.all.items() if value is None] == ["meteor"]


def test_a_java_that_fails_is_a_reason_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho no room for the heap >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    [score] = Meteor("meteor").compute(["a"], [["a"]])
    assert score.value is None
    assert "no room for the heap" in score.reason
