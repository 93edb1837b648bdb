"""A document's examples have every token as a target once, and none is longer than it may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorafit.data.encoding.sequences import EncodedSequence, cut_document


@given(
    ids=st.lists(st.integers(10, 99), max_size=40).map(tuple),
    start=st.sampled_from([(), (1,), (1, 2)]),
    max_length=st.integers(4, 12),
)
def test_every_token_is_a_target_once(ids: tuple[int, ...], start: tuple[int, ...], max_length: int) -> None:
    examples = cut_document(ids, start, max_length)
    targets = [token for example in examples for token in example.targets(max_length)]
    assert targets == list(ids if start else ids[1:])
    for example in examples:
        assert example.length <= max_length
        assert example.ids[: len(start)] == start
        assert example.num_targets(max_length) == sum(example.target_mask(max_length))
        assert len(example.inputs(max_length)) == len(example.target_mask(max_length)) == example.length - 1
    assert all(example.length == max_length for example in examples[:-1])


def test_without_a_first_token_an_example_begins_with_the_last_token_before_it() -> None:
    first, second = cut_document((5, 6, 7, 8, 9), (), 3)
    assert (first.ids, second.ids) == ((5, 6, 7), (7, 8, 9))


def test_what_lies_behind_the_length_is_neither_read_nor_learned() -> None:
    example = EncodedSequence((5, 6, 7, 8), (True, False, True, True))
    assert (example.inputs(3), example.target_mask(3), example.targets(3)) == ([5, 6], [False, True], [7])
    assert example.targets(10) == [7, 8]
