"""A whole scoring job: what is computed, for which parts, and what it looks like as JSON."""

from __future__ import annotations

import json

import pytest

from lorafit.errors import NotFoundError, RecipeError
from lorafit.metrics import METRICS, check_metric_names, score_texts, text_metrics

KEYS = {
    "e2e": ["bleu", "nist", "nist_perl", "meteor", "rouge_l", "cider"],
    "dart": ["bleu", "meteor", "ter", "chrf"],
    "webnlg": ["bleu", "meteor", "ter", "chrf"],
}


@pytest.mark.parametrize("task", KEYS)
@pytest.mark.parametrize("protocol", ["official", "paper"])
def test_the_scores_of_each_task(task: str, protocol: str) -> None:
    assert [key for metric in text_metrics(task, protocol) for key in metric.keys] == KEYS[task]


def test_json(predictions: list[str], references: list[list[str]]) -> None:
    scores = score_texts("dart", predictions, references, metrics=["bleu", "ter"])
    result = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert list(result["scores"]) == list(result["signatures"]) == ["bleu", "ter"]
    assert result["scores"] == scores.all
    assert result["reasons"] == {}
    assert result["notes"] == []


def test_splits_have_scores_of_their_own(predictions: list[str], references: list[list[str]]) -> None:
    splits = ["seen", "unseen", "seen", "unseen"]
    metrics = ["bleu", "ter", "chrf"]
    for protocol in ("official", "paper"):
        whole = score_texts(
            "webnlg", predictions, references, protocol=protocol, metrics=metrics, splits=splits
        )
        assert list(whole.parts) == ["all", "seen", "unseen"]
        assert whole.to_json()["scores"] == whole.parts
        part = score_texts("webnlg", predictions[1::2], references[1::2], protocol=protocol, metrics=metrics)
        assert whole.parts["unseen"] == pytest.approx(part.all)


def test_one_of_two_scores_may_be_asked_for(predictions: list[str], references: list[list[str]]) -> None:
    assert list(score_texts("e2e", predictions, references, metrics=["nist_perl"]).all) == ["nist_perl"]
    both = score_texts("e2e", predictions, references, metrics=["nist_perl", "nist"]).all
    assert set(both) == {"nist", "nist_perl"}


def test_a_name_means_the_tasks_own_way_first_and_any_other_after_that() -> None:
    assert text_metrics("dart", "official", ["ter"]) == [METRICS["tercom"]]
    assert text_metrics("dart", "paper", ["ter"]) == [METRICS["ter"]]
    assert text_metrics("e2e", "official", ["bleu", "chrf"]) == [METRICS["e2e_bleu"], METRICS["chrf"]]
    assert text_metrics("e2e", "official", ["multi_bleu"]) == [METRICS["multi_bleu"]]


def test_a_metric_that_does_not_exist_or_fit_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(RecipeError, match="no metric 'rouge_1'; did you mean 'rouge_l'"):
        check_metric_names("e2e", ["rouge_1"])
    with pytest.raises(RecipeError, match="'accuracy' compares labels"):
        check_metric_names("webnlg", ["accuracy"])
    with pytest.raises(RecipeError, match="'bleu'"):
        check_metric_names("rte", ["bleu"])
    check_metric_names("e2e", None)
    check_metric_names("e2e", ["bleu", "evaluate:bertscore", "my/metric.py"])
    check_metric_names("rte", ["accuracy", "pearson", "evaluate:glue"])


def test_the_paper_says_what_it_leaves_out(predictions: list[str], references: list[list[str]]) -> None:
    notes = score_texts("dart", predictions, references, protocol="paper", metrics=["bleu"]).notes
    assert any("final newline" in note for note in notes)


def test_references_that_do_not_count_are_said() -> None:
    scores = score_texts("dart", ["a b c d"], [["x", "y", "z", "a b c d"]], metrics=["bleu"])
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
    with pytest.raises(NotFoundError, match=message):
        score_texts("e2e", predictions, references, splits=splits)
