"""Laws that every text metric obeys, and that every label metric obeys."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lorafit.errors import RecipeError
from lorafit.metrics import METRICS
from lorafit.metrics.scoring import find_metric, score_by

TEXT = [
    name
    for name, m in METRICS.items()
    if m.kind == "text" and m.reads == "answer" and "meteor" not in name  # METEOR: test_meteor.py
]
LABEL = [name for name, m in METRICS.items() if m.kind in ("label", "score") and m.reads == "answer"]
SEVERAL = [name for name, m in METRICS.items() if "labels" in (m.kind, *m.also) and m.reads == "answer"]
PERFECT = {"bleu": 100.0, "ter": 0.0, "rouge_l": 1.0, "chrf": 1.0, "exact_match": 1.0}
PERFECT |= {"rouge1": 1.0, "rougeL": 1.0}  # a text of one word has no pairs of words for rouge2
Corpus = tuple[list[Any], list[Any], list[Any]]


@pytest.fixture
def corpus(name: str, predictions: list[str], references: list[list[str]]) -> Corpus:
    """A good system, a bad one, and what is right."""
    if METRICS[name].kind == "text":
        return [*predictions[:3], references[3][2]], ["nothing of this"] * 3 + [""], references
    return [0, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]


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
        good = METRICS[name].compute([*predictions[:3], references[3][2]], references)
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
    metric = METRICS[name]
    [score] = metric.compute([0, 1, 1, 0], [0, 1, 1, 0])
    assert score.name == name
    assert score.value == pytest.approx(1.0 if metric.higher_is_better else 0.0)
    [worse] = metric.compute([0, 1, 0, 0], [0, 1, 1, 0])
    assert worse.value is not None
    assert (worse.value < 1) if metric.higher_is_better else (worse.value > 0)


def test_perplexity_counts_tokens_and_not_examples() -> None:
    """One example of three tokens at ln 2 and one of a token at ln 32 are four tokens at ln 4."""
    [score] = METRICS["perplexity"].compute([(3 * math.log(2), 3), (math.log(32), 1)], [(), ()])
    assert score.value == pytest.approx(4)
    for unclear in ((0.0, 0), (math.inf, 1), (math.nan, 1)):
        [score] = METRICS["perplexity"].compute([unclear], [()])
        assert score.value is None
        assert score.reason


@pytest.mark.parametrize("name", [*TEXT, *LABEL])
class TestEveryMetricForTwoSystems:
    """What `lorafit compare` asks of a metric."""

    def test_all_examples_drawn_once_have_the_corpus_score(self, name: str, corpus: Corpus) -> None:
        predictions, _, references = corpus
        score = METRICS[name].resample(predictions, references)(np.arange(4))
        assert score == pytest.approx(METRICS[name].compute(predictions, references)[0].value)
        drawn = np.array([3, 1, 1, 0])
        wanted = (
            METRICS[name].compute([predictions[i] for i in drawn], [references[i] for i in drawn])[0].value
        )
        assert METRICS[name].resample(predictions, references)(drawn) == pytest.approx(wanted)

    def test_two_systems_have_their_own_scores_and_one_system_differs_by_nothing(
        self, name: str, corpus: Corpus
    ) -> None:
        a, b, references = corpus
        found = METRICS[name].compare(a, b, references, num_samples=20)
        assert found.metric == METRICS[name].keys[0]
        assert found.a == pytest.approx(METRICS[name].compute(a, references)[0].value)
        assert found.b == pytest.approx(METRICS[name].compute(b, references)[0].value)
        assert (found.difference < 0) is METRICS[name].higher_is_better
        same = METRICS[name].compare(a, a, references, num_samples=20)
        assert (same.difference, same.p_value) == (0, 1)

    def test_a_metric_with_a_measure_knows_every_example(self, name: str, corpus: Corpus) -> None:
        a, _, references = corpus
        metric = METRICS[name]
        if not metric.measure:
            assert name in {"nist", *LABEL} - {"accuracy", "mae"}
            return
        values = metric.per_example(a, references)
        assert len(values) == 4
        if metric.right_or_wrong or name in {"mae", "rouge_l", "cider", "ter"}:
            assert sum(values) / 4 == pytest.approx(metric.compute(a, references)[0].value)


@pytest.mark.parametrize("name", SEVERAL)
def test_every_metric_of_several_labels_knows_perfection(name: str) -> None:
    right = [(1, 0, 1), (0, 0, 0), (0, 1, 0)]
    [score] = METRICS[name].compute(right, right)
    assert (score.name, score.value) == (name, 1.0)
    for wrong in ((0, 0, 1), (1, 1, 1)):
        [worse] = METRICS[name].compute([wrong, *right[1:]], right)
        assert worse.value is not None
        assert 0 < worse.value < 1
    [none] = METRICS[name].compute([(0, 0, 0)] * 3, [(1, 1, 1)] * 3)
    assert none.value == 0


def test_what_reads_evidence_is_none_without_it() -> None:
    for name, metric in METRICS.items():
        if metric.reads == "evidence":
            scores = score_by([metric], [1, 0], [1, 0])
            assert scores.all == {name: None}
            assert "needs what stands behind the answers" in scores.reasons[name]


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
