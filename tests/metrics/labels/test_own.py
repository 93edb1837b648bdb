"""Metrics of labels for one's own data: closed forms, against scikit-learn, and figures that do not exist."""

from __future__ import annotations

import math

import pytest
from sklearn.metrics import roc_auc_score

from lorafit.metrics import METRICS, Score
from lorafit.metrics.labels.report import label_report


def compute(name: str, predictions: list[object], references: list[object]) -> Score:
    [score] = METRICS[name].compute(predictions, references)
    return score


def test_macro_is_the_mean_of_the_classes_and_micro_counts_every_decision() -> None:
    right, given = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    each = [2 * 2 / 5, 2 * 1 / 4, 2 * 1 / 3]
    assert compute("macro_f1", [*given], [*right]).value == pytest.approx(sum(each) / 3)
    assert compute("micro_f1", [*given], [*right]).value == pytest.approx(4 / 6)


def test_of_several_labels_micro_counts_every_label_of_every_text() -> None:
    right, given = [(1, 1, 0), (0, 1, 0), (0, 0, 0)], [(1, 0, 0), (0, 1, 1), (0, 0, 0)]
    assert compute("micro_f1", [*given], [*right]).value == pytest.approx(2 * 2 / (3 + 3))
    assert compute("macro_f1", [*given], [*right]).value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert compute("subset_accuracy", [*given], [*right]).value == pytest.approx(1 / 3)


def test_matthews_is_for_any_number_of_classes() -> None:
    right, given = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]
    counts = [
        [1, 1, 0],
        [0, 2, 0],
        [1, 0, 1],
    ]  # Gorodkin 2004: (c s - sum p t) / sqrt((s2 - sum p2)(s2 - sum t2))
    p, t = [sum(row[k] for row in counts) for k in range(3)], [sum(row) for row in counts]
    covariance = 4 * 6 - sum(a * b for a, b in zip(p, t, strict=True))
    spread = math.sqrt((36 - sum(a * a for a in p)) * (36 - sum(b * b for b in t)))
    assert compute("matthews", [*given], [*right]).value == pytest.approx(covariance / spread)


def test_roc_auc_of_two_classes_is_that_of_the_second_s_probability() -> None:
    right, chances = [0, 1, 0, 1, 1], [0.1, 0.9, 0.6, 0.4, 0.7]
    score = compute("roc_auc", [(1 - p, p) for p in chances], [*right])
    assert score.value == pytest.approx(5 / 6)


def test_roc_auc_of_more_classes_is_the_mean_of_each_against_the_rest() -> None:
    right = [0, 1, 2, 2, 1, 0]
    chances = [
        (0.6, 0.3, 0.1),
        (0.4, 0.35, 0.25),
        (0.2, 0.3, 0.5),
        (0.3, 0.4, 0.3),
        (0.1, 0.8, 0.1),
        (0.2, 0.5, 0.3),
    ]
    expected = roc_auc_score(right, chances, multi_class="ovr", average="macro")
    assert compute("roc_auc", [*chances], [*right]).value == pytest.approx(expected)
    flags = [(1, 0, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (0, 1, 0), (1, 1, 0)]
    expected = roc_auc_score(flags, chances, average="macro")
    assert compute("roc_auc", [*chances], [*flags]).value == pytest.approx(expected)


def test_roc_auc_leaves_out_a_class_that_nothing_or_everything_has_and_says_so() -> None:
    right, chances = [0, 1, 1], [(0.5, 0.4, 0.1), (0.3, 0.6, 0.1), (0.2, 0.5, 0.3)]
    score = compute("roc_auc", [*chances], [*right])
    assert score.value == 1.0
    assert score.signature.endswith("labels:2 of 3")
    none = compute("roc_auc", [(0.5, 0.5)] * 2, [1, 1])
    assert (none.value, none.reason) == (None, "all references are the same")


def test_rmse_and_r2() -> None:
    right, given = [1.0, 2.0, 4.0], [1.0, 3.0, 2.0]
    assert compute("rmse", [*given], [*right]).value == pytest.approx(math.sqrt(5 / 3))
    mean = 7 / 3
    spread = sum((r - mean) ** 2 for r in right)
    assert compute("r2", [*given], [*right]).value == pytest.approx(1 - 5 / spread)
    assert "all references are the same" in compute("r2", [1.0, 2.0], [3.0, 3.0]).reason
    for name in ("rmse", "r2"):
        assert "NaN or infinite" in compute(name, [math.nan, 1.0], [1.0, 2.0]).reason


def test_the_report_has_every_class_also_one_that_nothing_is() -> None:
    report = label_report([0, 0, 1, 1], [0, 1, 1, 1], ("bad", "good", "odd"))
    assert report.to_json() == {
        "classes": {
            "bad": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
            "good": {
                "precision": 1.0,
                "recall": pytest.approx(2 / 3),
                "f1": pytest.approx(0.8),
                "support": 3,
            },
            "odd": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
        },
        "confusion": [[1, 0, 0], [1, 2, 0], [0, 0, 0]],
    }


def test_the_report_of_several_labels_has_no_confusion() -> None:
    report = label_report([(1, 0), (1, 1)], [(1, 1), (0, 1)], ("a", "b"))
    assert report.to_json() == {
        "classes": {
            "a": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
            "b": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2},
        }
    }
