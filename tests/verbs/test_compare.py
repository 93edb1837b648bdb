"""Comparing two runs' predictions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lorafit.errors import DataError, NotFoundError
from lorafit.metrics.comparison import compare_predictions
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import score_texts
from lorafit.verbs.compare import compare
from tests.support.run_folders import e2e_scores, write_run

WORDS = [
    "the",
    "a",
    "place",
    "in",
    "centre",
    "serves",
    "cheap",
    "food",
    "near",
    "river",
    "with",
    "high",
    "ratings",
    "for",
    "families",
    "and",
    "wine",
]


def texts(seed: int, noise: float, count: int = 60) -> list[dict[str, Any]]:
    """Predictions that are the reference with a share of other words in it."""
    draw, wrong = random.Random(0), random.Random(seed)
    lines = []
    for i in range(count):
        words = draw.choices(WORDS, k=10)
        written = [wrong.choice(WORDS) if wrong.random() < noise else word for word in words]
        references = [" ".join(words), " ".join(draw.choices(WORDS, k=9))]
        lines.append(
            {"input": f"row {i}", "references": references[: 1 + i % 2], "prediction": " ".join(written)}
        )
    return lines


@pytest.mark.parametrize("name", SCORERS)
def test_the_scores_are_those_of_the_scorer(name: str) -> None:
    a, b = texts(1, 0.5), texts(2, 0.1)
    found = {d.metric: d for d in compare_predictions(a, b, SCORERS[name], num_samples=100).differences}
    for side, lines in (("a", a), ("b", b)):
        predictions, references = [x["prediction"] for x in lines], [x["references"] for x in lines]
        scores = score_texts(SCORERS[name], predictions, references, metrics=["bleu", "chrf"]).all
        assert getattr(found["bleu"], side) == pytest.approx(scores["bleu"])
        assert scores["chrf"] is not None
        assert getattr(found["chrf"], side) == pytest.approx(scores["chrf"])


def test_better_texts_win_and_the_difference_is_significant() -> None:
    comparison = compare_predictions(texts(1, 0.5), texts(2, 0.1), SCORERS["e2e-metrics"], num_samples=200)
    assert comparison.num_better > comparison.num_worse
    assert all(d.difference > 0 and d.p_value < 0.02 for d in comparison.differences)
    gains = [abs(example.gain) for example in comparison.examples]
    assert gains == sorted(gains, reverse=True)
    same = compare_predictions(texts(1, 0.5), texts(1, 0.5), SCORERS["e2e-metrics"], num_samples=100)
    assert (same.num_same, same.examples) == (60, ())


def test_labels_and_numbers() -> None:
    labels = [i % 2 for i in range(40)]
    a = [{"input": i, "label": y, "prediction": y if i > 9 else 1 - y} for i, y in enumerate(labels)]
    b = [{"input": i, "label": y, "prediction": y if i else 1 - y} for i, y in enumerate(labels)]
    found = compare_predictions(a, b, SCORERS["plain"], num_samples=100)
    assert (found.kind, found.num_better, found.num_worse) == ("label", 9, 0)
    accuracy, matthews = found.differences
    assert (accuracy.a, accuracy.b) == (0.75, 0.975)
    assert accuracy.p_value == pytest.approx(2 / 2**9)
    assert matthews.a == pytest.approx(0.5)
    wanted = [i / 8 for i in range(40)]
    one = [{"input": i, "label": y, "prediction": y + (-1) ** i} for i, y in enumerate(wanted)]
    two = [{"input": i, "label": y, "prediction": y + 0.001} for i, y in enumerate(wanted)]
    numbers = compare_predictions(one, two, SCORERS["plain"], num_samples=100)
    assert [d.metric for d in numbers.differences] == ["pearson", "spearman"]
    assert numbers.differences[0].b == pytest.approx(1.0)
    assert numbers.num_better == 40


def test_a_text_without_references_is_left_out_as_it_is_not_scored() -> None:
    a, b = texts(1, 0.5), texts(2, 0.1)
    empty = {"input": "new", "references": ["", " "], "prediction": "the place"}
    found = compare_predictions([empty, *a], [empty, *b], SCORERS["plain"], num_samples=50)
    wanted = compare_predictions(a, b, SCORERS["plain"], num_samples=50)
    assert (found.num_examples, found.num_left_out) == (60, 1)
    assert found.differences == wanted.differences
    assert [e.index for e in found.examples] == [e.index + 1 for e in wanted.examples]
    with pytest.raises(DataError, match="no text has a reference"):
        compare_predictions([empty], [empty], SCORERS["plain"])


def test_examples_without_labels_cannot_be_compared() -> None:
    lines = [{"input": i, "label": None, "prediction": 0.5} for i in range(3)]
    with pytest.raises(DataError, match="prediction 1 has no label"):
        compare_predictions(lines, lines, SCORERS["plain"])


def runs_of(folder: Path, *predictions: list[dict[str, Any]]) -> list[Path]:
    found = []
    for seed, lines in enumerate(predictions):
        run = write_run(folder, "e2e_gpt2m", seed, e2e_scores(60.0))
        (run / "predictions").mkdir()
        (run / "predictions" / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        found.append(run)
    return found


def test_the_command_compares_run_folders(tmp_path: Path, lorafit: Callable[..., Any]) -> None:
    a, b = runs_of(tmp_path, texts(1, 0.5), texts(2, 0.1))
    value = json.loads(lorafit("compare", a, b, "--samples", 100, "--json").stdout)
    assert (value["task"], value["kind"], value["num_examples"]) == ("e2e", "text", 60)
    assert value["scores"][0]["difference"] > 0
    shown = lorafit("compare", a, b, "--samples", 100, "-n", 1).stdout
    assert "paired bootstrap, 100 samples" in shown
    assert shown.count("example ") == 1


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    a, b, c = runs_of(tmp_path, texts(1, 0.5), texts(2, 0.1, count=59), texts(3, 0.1))
    with pytest.raises(DataError, match="60 and 59 examples"):
        compare(a, b, None, 100)
    with pytest.raises(NotFoundError, match=r"no predictions of the split 'valid'; there are test"):
        compare(a, c, "valid", 100)
    other = [{**line, "references": ["something else"]} for line in texts(3, 0.1)]
    (c / "predictions" / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in other))
    with pytest.raises(DataError, match=r"prediction 1: .*\(references\)"):
        compare(a, c, None, 100)
    (c / "predictions" / "test.jsonl").write_text('{"input": 1}\n')
    with pytest.raises(DataError, match=r"test.jsonl:1: not a prediction"):
        compare(a, c, None, 100)
    with pytest.raises(NotFoundError, match="no such run folder"):
        compare(a, tmp_path / "nowhere", None, 100)
