"""The GLUE metrics: closed forms, ties, and figures that do not exist."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from lorafit.metrics import METRICS, Score


def compute(name: str, predictions: Sequence[float], references: Sequence[float]) -> Score:
    [score] = METRICS[name].compute(predictions, references)
    return score


def test_closed_forms() -> None:
    # TP 3, FN 1, FP 2, TN 4
    references, predictions = [1] * 4 + [0] * 6, [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert compute("accuracy", predictions, references).value == pytest.approx(7 / 10)
    assert compute("f1", predictions, references).value == pytest.approx(6 / 9)
    expected = (3 * 4 - 2 * 1) / math.sqrt(5 * 4 * 6 * 5)
    assert compute("matthews", predictions, references).value == pytest.approx(expected)


def test_correlations_of_a_permutation_and_of_ties() -> None:
    permuted, order = [0.0, 2, 1, 3, 5, 4], [0.0, 1, 2, 3, 4, 5]
    assert compute("pearson", permuted, order).value == pytest.approx(31 / 35)
    assert compute("spearman", permuted, order).value == pytest.approx(31 / 35)
    assert compute("spearman", [1.0, 3, 2, 2], [1.0, 2, 2, 4]).value == pytest.approx(0.5)  # middle ranks


@pytest.mark.parametrize("constant", [0, 1])
def test_constant_labels_score_zero_or_less_than_one_and_warn_of_nothing(constant: int) -> None:
    assert compute("matthews", [constant] * 4, [0, 1, 1, 0]).value == 0
    assert compute("matthews", [0, 1, 1, 0], [constant] * 4).value == 0
    assert compute("f1", [constant] * 4, [0, 1, 1, 0]).value == pytest.approx(constant * 2 / 3)
    assert compute("f1", [0] * 4, [0] * 4).value == 0


def test_f1_is_for_two_labels() -> None:
    score = compute("f1", [0, 1, 2], [0, 1, 1])
    assert score.value is None
    assert "a label 2" in score.reason


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_correlation_that_does_not_exist_has_a_reason(name: str) -> None:
    for predictions, references, reason in (
        ([2.0, 2, 2], [1.0, 2, 3], "all predictions are the same"),
        ([1.0, 2, 3], [2.0, 2, 2], "all references are the same"),
        ([1.0, math.nan, 3], [1.0, 2, 3], "some predictions are NaN or infinite"),
        ([1.0, math.inf, 3], [1.0, 2, 3], "some predictions are NaN or infinite"),
    ):
        score = compute(name, predictions, references)
        assert score.value is None
        assert reason in score.reason


def test_nearly_constant_predictions_warn_of_nothing() -> None:
    score = compute("pearson", [1.0, 1.0 + 2e-16 * 2, 1.0], [1.0, 2, 3])
    assert score.value is None or abs(score.value) <= 1
