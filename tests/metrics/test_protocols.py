"""How texts and references are prepared, and which metrics a task's scorer computes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.errors import RecipeError
from lorafit.metrics import METRICS
from lorafit.metrics.protocols import PROTOCOLS, find_protocol, lay_out, lower_then_split, split_then_lower

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
    assert lay_out(find_protocol("webnlg", "official"), references) == [["a", "", ""], ["b", "c", "d"]]
    assert lay_out(find_protocol("dart", "paper"), references) == [["a"] * 4, ["b", "c", "d", "e"]]
    assert lay_out(find_protocol("dart", "paper"), [list("abcdefgh")]) == [list("abcdef")]
    assert lay_out(find_protocol("e2e", "paper"), references) == references


def test_an_empty_line_stays_an_empty_reference() -> None:
    assert lay_out(find_protocol("webnlg", "paper"), [["a", ""], ["b", "c"]]) == [["a", ""], ["b", "c"]]


def test_every_protocol_computes_known_text_metrics_one_for_each_score() -> None:
    for protocol in PROTOCOLS.values():
        metrics = [METRICS[name] for name in protocol.metrics]
        keys = [key for metric in metrics for key in metric.keys]
        assert len(keys) == len(set(keys))
        assert {metric.kind for metric in metrics} == {"text"}


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(RecipeError, match="did you mean 'webnlg'"):
        find_protocol("webnlg17", "paper")
    with pytest.raises(RecipeError, match="did you mean 'official'"):
        find_protocol("e2e", "oficial")
