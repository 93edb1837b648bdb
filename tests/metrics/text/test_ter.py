"""TER: known figures of both programs, and the edit distance beneath them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.lib_ter import translation_edit_rate
from sacrebleu.metrics.ter import TER

from lorafit.metrics import METRICS
from lorafit.metrics.text.edits import EditDistance, Proposals
from lorafit.metrics.text.ter import _pyter_shifts, pyter_edits
from lorafit.metrics.text.tercom import _tercom_shifts, tercom_edits

WORDS = st.lists(st.sampled_from("abcdefg"), max_size=12)
ARABIA = (
    "THIS WEEK THE SAUDIS denied information published in the new york times",
    "SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times",
)


def levenshtein(a: list[str], b: list[str]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@given(a=WORDS, b=WORDS)
def test_edit_distance(a: list[str], b: list[str]) -> None:
    distance = EditDistance(b)
    assert distance(a) == levenshtein(a, b)
    for i, row in enumerate(distance.rows(a)):
        assert [distance.cell(row, j) for j in range(len(b) + 1)] == [
            levenshtein(a[:i], b[:j]) for j in range(len(b) + 1)
        ]


@given(a=WORDS, b=WORDS, data=st.data())
def test_edit_distance_of_several_orders_at_once(a: list[str], b: list[str], data: st.DataObject) -> None:
    orders = data.draw(st.lists(st.permutations(a), max_size=5))
    assert EditDistance(b).of_orders(orders) == [levenshtein(order, b) for order in orders]


def test_a_shift_is_one_edit_however_far() -> None:
    for edits in (pyter_edits, tercom_edits):
        assert edits("d e f a b c", "a b c d e f") == 1
        assert edits(*ARABIA) == 4  # one shift, two substitutions, one insertion


@given(a=WORDS, b=WORDS)
def test_between_the_unordered_and_the_ordered_distance(a: list[str], b: list[str]) -> None:
    shared = sum(min(a.count(word), b.count(word)) for word in set(a))
    for edits in (pyter_edits, tercom_edits):
        assert max(len(a), len(b)) - shared <= edits(" ".join(a), " ".join(b)) <= levenshtein(a, b)


def tried_one_by_one(words: list[str], reference: list[str], proposals: Proposals) -> int:
    """The greedy search with nothing left out."""
    num_shifts = 0
    while True:
        edits = levenshtein(words, reference)
        best: tuple[int, tuple[int, ...], list[str]] = (0, (), words)
        for rank, start, length, target in proposals(words, reference):
            run, left = words[start : start + length], words[:start] + words[start + length :]
            shifted = left[:target] + run + left[target:]
            best = max(best, (edits - levenshtein(shifted, reference), rank, shifted))
        if best[0] == 0:
            return num_shifts + edits
        num_shifts, words = num_shifts + 1, best[-1]


@given(a=WORDS, b=WORDS)
def test_shifts_that_are_not_tried_would_not_have_been_made(a: list[str], b: list[str]) -> None:
    assert pyter_edits(" ".join(a), " ".join(b)) == tried_one_by_one(a, b, _pyter_shifts)
    assert tercom_edits(" ".join(a), " ".join(b)) == tried_one_by_one(a, b, _tercom_shifts)


@given(a=WORDS, groups=st.lists(WORDS.filter(bool), min_size=1, max_size=4))
def test_references_that_are_not_tried_are_not_the_nearest(a: list[str], groups: list[list[str]]) -> None:
    prediction, references = " ".join(a), [" ".join(words) for words in groups]
    [ter] = METRICS["ter"].compute([prediction], [references])
    assert ter.value == min(pyter_edits(prediction, text) / len(text.split()) for text in references)
    [tercom] = METRICS["tercom"].compute([prediction], [references])
    mean_length = sum(map(len, groups)) / len(groups)
    assert tercom.value == min(tercom_edits(prediction, text) for text in references) / mean_length


def test_sacrebleu_agrees_on_short_sentences(predictions: list[str], references: list[list[str]]) -> None:
    groups = [[text.lower() for text in group if text] for group in references]
    for prediction, group in zip(predictions, groups, strict=True):
        for text in group:
            edits, _ = translation_edit_rate(prediction.lower().split(), text.split())
            assert tercom_edits(prediction.lower(), text) == edits
    streams = [[group[i] if i < len(group) else None for group in groups] for i in range(3)]
    [score] = METRICS["tercom"].compute(predictions, references)
    assert score.value == pytest.approx(TER().corpus_score(predictions, streams).score / 100)  # type: ignore[arg-type]


@settings(max_examples=50)
@given(word=st.permutations(list("abcdefgh")))
def test_any_order_of_the_words_costs_shifts_only(word: list[str]) -> None:
    for edits in (pyter_edits, tercom_edits):
        assert edits(" ".join(word), "a b c d e f g h") <= levenshtein(word, list("abcdefgh"))


def test_mean_of_segments_against_share_of_all_words() -> None:
    predictions, references = ["a", "b c d x"], [["x"], ["b c d e"]]
    assert METRICS["ter"].compute(predictions, references)[0].value == pytest.approx((1 / 1 + 1 / 4) / 2)
    assert METRICS["tercom"].compute(predictions, references)[0].value == pytest.approx(2 / 5)


def test_an_empty_reference_counts_one_for_generation_eval_and_nothing_for_tercom() -> None:
    predictions, references = ["x y z w v"], [["a b", ""]]
    assert METRICS["ter"].compute(predictions, references)[0].value == 1.0
    assert METRICS["tercom"].compute(predictions, references)[0].value == 5 / 2
