"""ROUGE as Google's rouge_score computes it without stemming."""

from __future__ import annotations

import pytest

from lorafit.metrics import METRICS

TEXT, REFERENCE = "The quick brown fox, it jumps!", "the fox quickly jumps over the brown dog"


@pytest.mark.parametrize(("name", "expected"), [("rouge1", 4 / 7), ("rouge2", 0.0), ("rougeL", 3 / 7)])
def test_closed_forms(name: str, expected: float) -> None:
    [score] = METRICS[name].compute([TEXT], [[REFERENCE]])
    assert score.name == name
    assert score.value == pytest.approx(expected)


def test_a_pair_of_words_is_counted_as_often_as_both_have_it() -> None:
    [score] = METRICS["rouge2"].compute(["a b a b a b"], [["a b a b"]])
    assert score.value == pytest.approx(2 * 3 / (5 + 3))  # ab ba ab of five and three


def test_the_reference_that_is_most_alike_counts() -> None:
    [score] = METRICS["rouge1"].compute(["a b c"], [["x y", "", "a b c"]])
    assert score.value == 1.0
