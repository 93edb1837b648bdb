"""A whole scoring job: what is computed, for which parts, and what it looks like as JSON."""

from __future__ import annotations

import json

import pytest

from lorafit.errors import DataError, NotFoundError, RecipeError
from lorafit.metrics import METRICS
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import find_metric, missing_metrics, score_texts, text_metrics

E2E, CHALLENGE, GENERATION_EVAL = (
    SCORERS[name] for name in ("e2e-metrics", "webnlg-challenge", "generation-eval")
)
KEYS = {
    "plain": ["bleu", "chrf", "rouge_l", "exact_match"],
    "e2e-metrics": ["bleu", "nist", "nist_perl", "meteor", "rouge_l", "cider"],
    "webnlg-challenge": ["bleu", "meteor", "ter", "chrf"],
    "generation-eval": ["bleu", "meteor", "ter", "chrf"],
}


@pytest.mark.parametrize("name", SCORERS)
def test_the_scores_of_each_scorer(name: str) -> None:
    assert [key for metric in text_metrics(SCORERS[name]) for key in metric.keys] == KEYS[name]


def test_json(predictions: list[str], references: list[list[str]]) -> None:
    scores = score_texts(CHALLENGE, predictions, references, metrics=["bleu", "ter"])
    result = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert list(result["scores"]) == list(result["signatures"]) == ["bleu", "ter"]
    assert result["scores"] == scores.all
    assert result["reasons"] == {}
    assert result["notes"] == []


def test_splits_have_scores_of_their_own(predictions: list[str], references: list[list[str]]) -> None:
    splits = ["seen", "unseen", "seen", "unseen"]
    metrics = ["bleu", "ter", "chrf"]
    for scorer in (CHALLENGE, GENERATION_EVAL):
        whole = score_texts(scorer, predictions, references, metrics=metrics, splits=splits)
        assert list(whole.parts) == ["all", "seen", "unseen"]
        assert whole.to_json()["scores"] == whole.parts
        part = score_texts(scorer, predictions[1::2], references[1::2], metrics=metrics)
        assert whole.parts["unseen"] == pytest.approx(part.all)


def test_one_of_two_scores_may_be_asked_for(predictions: list[str], references: list[list[str]]) -> None:
    assert list(score_texts(E2E, predictions, references, metrics=["nist_perl"]).all) == ["nist_perl"]
    both = score_texts(E2E, predictions, references, metrics=["nist_perl", "nist"]).all
    assert set(both) == {"nist", "nist_perl"}


def test_a_name_means_the_tasks_own_way_first_and_any_other_after_that() -> None:
    assert text_metrics(CHALLENGE, ["ter"]) == [METRICS["tercom"]]
    assert text_metrics(GENERATION_EVAL, ["ter"]) == [METRICS["ter"]]
    assert text_metrics(E2E, ["bleu", "chrf"]) == [METRICS["e2e_bleu"], METRICS["chrf"]]
    assert text_metrics(E2E, ["multi_bleu"]) == [METRICS["multi_bleu"]]


def test_a_metric_that_does_not_exist_or_fit_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no metric 'rouge_k'; did you mean 'rouge_l'.*evaluate:NAME"):
        text_metrics(E2E, ["rouge_k"])
    with pytest.raises(RecipeError, match="'accuracy' compares labels"):
        text_metrics(CHALLENGE, ["accuracy"])
    with pytest.raises(RecipeError, match="'bleu' compares texts"):
        find_metric("bleu", "label")
    names = ["bleu", "evaluate:bertscore", "my/metric.py"]
    assert [metric.name for metric in text_metrics(E2E, names)] == ["e2e_bleu", *names[1:]]


def test_what_is_missing_is_known_before_anything_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert list(missing_metrics(text_metrics(E2E))) == ["meteor"]
    assert missing_metrics(text_metrics(E2E, ["bleu"])) == {}
    with pytest.raises(NotFoundError, match=r"no metric script my/metric\.py"):
        missing_metrics(text_metrics(E2E, ["my/metric.py"]))


def test_the_paper_says_what_it_leaves_out(predictions: list[str], references: list[list[str]]) -> None:
    notes = score_texts(GENERATION_EVAL, predictions, references, metrics=["bleu"]).notes
    assert any("final newline" in note for note in notes)


def test_references_that_do_not_count_are_said() -> None:
    scores = score_texts(CHALLENGE, ["a b c d"], [["x", "y", "z", "a b c d"]], metrics=["bleu"])
    assert scores.all["bleu"] == 0
    assert scores.notes == (
        "the first 3 references of up to 4, as WebNLG Challenge 2017 and DART: multi-bleu -lc, METEOR 1.5, "
        "tercom 0.7 takes them",
    )


@pytest.mark.parametrize(
    ("predictions", "references", "splits", "message"),
    [
        ([], [], None, "no predictions"),
        (["a"], [["a"], ["b"]], None, "1 predictions, but references for 2"),
        (["a"], [["a"]], ["seen", "seen"], "but 2 split labels"),
        (["a", "b"], [["a"], ["", " "]], None, "prediction 2 has no reference"),
        (["a"], [[]], None, "prediction 1 has no reference"),
    ],
)
def test_what_cannot_be_scored(
    predictions: list[str], references: list[list[str]], splits: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_texts(E2E, predictions, references, splits=splits)
