"""Laws that every text metric obeys, and that every label metric obeys."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from lorafit.errors import RecipeError
from lorafit.metrics import METRICS, find_metric

TEXT = [
    name for name, m in METRICS.items() if m.kind == "text" and "meteor" not in name
]  # METEOR: test_meteor.py
LABEL = [name for name, m in METRICS.items() if m.kind != "text"]
PERFECT = {"bleu": 100.0, "ter": 0.0, "rouge_l": 1.0, "chrf": 1.0}


@pytest.mark.parametrize("name", TEXT)
class TestEveryTextMetric:
    def test_gives_its_keys(self, name: str, predictions: list[str], references: list[list[str]]) -> None:
        scores = METRICS[name].compute(predictions, references)
        assert tuple(score.name for score in scores) == METRICS[name].keys
        for score in scores:
            assert score.value is not None
            assert math.isfinite(score.value)
            assert not score.reason
            assert all(":" in part for part in score.signature.split("|"))

    def test_one_of_the_references_is_perfect(self, name: str, references: list[list[str]]) -> None:
        for last in METRICS[name].compute([group[-1] for group in references], references):
            for first in METRICS[name].compute([group[0] for group in references], references):
                if first.name in PERFECT and first.name == last.name:
                    assert first.value == last.value == pytest.approx(PERFECT[first.name], abs=1e-9)

    def test_does_not_look_at_the_order(
        self, name: str, predictions: list[str], references: list[list[str]]
    ) -> None:
        here = METRICS[name].compute(predictions, references)
        turned = METRICS[name].compute(predictions[::-1], [group[::-1] for group in references[::-1]])
        for a, b in zip(here, turned, strict=True):
            assert a.value == pytest.approx(b.value, rel=1e-12)

    def test_garbage_is_worse(self, name: str, predictions: list[str], references: list[list[str]]) -> None:
        good = METRICS[name].compute(predictions, references)
        bad = METRICS[name].compute(["nothing of this"] * 3 + [""], references)
        for a, b in zip(good, bad, strict=True):
            assert a.value is not None
            assert b.value is not None
            assert (a.value > b.value) is METRICS[name].higher_is_better

    def test_empty_predictions_are_scored(self, name: str, references: list[list[str]]) -> None:
        for score in METRICS[name].compute([""] * len(references), references):
            assert score.value is not None
            assert score.value == 0 if METRICS[name].higher_is_better else 0 < score.value <= 1

    def test_parts_are_what_they_are_alone(
        self, name: str, predictions: list[str], references: list[list[str]]
    ) -> None:
        parts = METRICS[name].compute_parts(predictions, references, {"all": range(4), "some": [1, 3]})
        assert parts["all"] == METRICS[name].compute(predictions, references)
        assert parts["some"] == METRICS[name].compute(predictions[1::2], references[1::2])


@pytest.mark.parametrize("name", LABEL)
def test_every_label_metric_knows_perfection(name: str) -> None:
    [score] = METRICS[name].compute([0, 1, 1, 0], [0, 1, 1, 0])
    assert (score.name, score.value) == (name, pytest.approx(1.0))
    [worse] = METRICS[name].compute([0, 1, 0, 0], [0, 1, 1, 0])
    assert worse.value is not None
    assert worse.value < 1


def test_names_are_keys() -> None:
    assert all(metric.name == name for name, metric in METRICS.items())


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(RecipeError, match="did you mean 'matthews'"):
        find_metric("mathews", "label")


def test_a_metric_of_another_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match="'cider' compares texts"):
        find_metric("cider", "label")


def test_importing_the_package_is_cheap() -> None:
    heavy = "torch transformers sklearn scipy sacrebleu numpy evaluate datasets pycocoevalcap"
    code = f"import sys, lorafit.metrics; print(*sorted(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
