"""How texts and references are prepared, and which metrics a task's scorer computes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.errors import RecipeError
from lorafit.metrics import METRICS
from lorafit.metrics.scorers import (
    PROTOCOLS_BY_TASK,
    SCORERS,
    find_scorer,
    lower_then_split,
    split_then_lower,
)

RAW = "It's in İzmir (Turkey), Aarhus_Airport: 3.5 km."


def test_every_character_that_is_not_of_a_word_is_a_word() -> None:
    split = "in i̇zmir ( turkey ) , aarhus_airport : 3 . 5 km ."
    assert split_then_lower(RAW) == f"it ' s {split}"
    assert lower_then_split(RAW) == f"it ' s {split.replace('i̇', 'i ̇ ')}"


@given(text=st.text(st.sampled_from("ab İÄé.,'_-3\t "), max_size=12))
def test_what_is_prepared_stays(text: str) -> None:
    for prepare in (split_then_lower, lower_then_split):
        assert prepare(prepare(text)) == prepare(text)
        assert lower_then_split(split_then_lower(text)) == split_then_lower(text)


def test_the_challenges_fill_up_with_empty_references_and_the_paper_with_the_first() -> None:
    references = [["a"], ["b", "c", "d", "e"]]
    assert SCORERS["webnlg-challenge"].lay_out(references) == [["a", "", ""], ["b", "c", "d"]]
    assert SCORERS["generation-eval"].lay_out(references) == [["a"] * 4, ["b", "c", "d", "e"]]
    assert SCORERS["generation-eval"].lay_out([list("abcdefgh")]) == [list("abcdef")]
    assert SCORERS["e2e-metrics"].lay_out(references) == references


def test_an_empty_line_stays_an_empty_reference() -> None:
    assert SCORERS["generation-eval"].lay_out([["a", ""], ["b", "c"]]) == [["a", ""], ["b", "c"]]


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_computes_each_score_once(name: str) -> None:
    scorer = SCORERS[name]
    assert scorer.name == name
    metrics = [METRICS[metric] for metric in scorer.metrics]
    keys = [key for metric in metrics for key in metric.keys]
    assert len(keys) == len(set(keys))
    assert {metric.kind for metric in metrics} == {"text"}


def test_every_task_has_a_scorer_for_either_protocol() -> None:
    for task, protocols in PROTOCOLS_BY_TASK.items():
        assert list(protocols) == ["official", "paper"]
        for protocol, scorer in protocols.items():
            assert find_scorer(task, protocol) is SCORERS[scorer]


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(RecipeError, match="no text task 'webnlg17'; did you mean 'webnlg'"):
        find_scorer("webnlg17", "paper")
    with pytest.raises(RecipeError, match="no protocol 'oficial'; did you mean 'official'"):
        find_scorer("e2e", "oficial")
