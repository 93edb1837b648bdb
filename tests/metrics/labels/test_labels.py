"""The GLUE metrics: closed forms, ties, and figures that do not exist."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
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


@pytest.mark.parametrize("num_examples", [2, 5, 30])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("matthews", "label"),
        ("matthews", "name"),
        ("micro_f1", "label"),
        ("micro_f1", "labels"),
        ("pearson", "score"),
        ("pearson", "tie"),
        ("spearman", "score"),
        ("spearman", "tie"),
    ],
)
def test_what_is_drawn_has_the_score_that_it_has_by_itself(name: str, kind: str, num_examples: int) -> None:
    """Metrics that resample faster than they compute: all is as scikit-learn and scipy have it, or 0."""
    generator = np.random.default_rng(num_examples)
    for _ in range(20):
        shape = (2, num_examples, 3) if kind == "labels" else (2, num_examples)
        numbers = generator.normal(size=shape) if kind == "score" else generator.integers(3, size=shape)
        if kind == "labels":
            numbers %= 2
        predictions, references = numbers.tolist()
        if kind == "name":
            predictions, references = ([f"name {i}" for i in side] for side in (predictions, references))
        drawn = generator.integers(num_examples, size=num_examples)
        alone = compute(name, [predictions[i] for i in drawn], [references[i] for i in drawn])
        score = METRICS[name].resample(predictions, references)
        assert score(drawn) == pytest.approx(alone.value or 0.0, abs=1e-12)
