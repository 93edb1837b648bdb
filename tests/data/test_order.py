"""How often the rows of each file come in an epoch, and batches by a number of tokens."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafit.data.batches import epoch_order
from lorafit.data.order import Mix, Order
from lorafit.recipe import TrainSection

lengths = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def order(mix: Mix, lengths: list[int] | None = None, **keys: Any) -> Order:
    section = TrainSection.model_validate({"epochs": 1.0, "learning_rate": 1e-3, **keys})
    return Order(section, mix, lengths or ())


def flat(batches: Sequence[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


@given(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=3), epoch=st.integers(0, 3))
def test_without_weights_the_order_is_that_of_one_file(sizes: list[int], epoch: int) -> None:
    ours = order(Mix(tuple(sizes)), batch_size=4).batches(epoch)
    expected = epoch_order(sum(sizes), 4, seed=0, epoch=epoch, shuffle=True, last_batch="short")
    assert [*ours] == [*expected]
    assert [*ours] == [*order(Mix(tuple(sizes), (1.0,) * len(sizes)), batch_size=4).batches(epoch)]


@given(size=st.integers(1, 30), other=st.integers(1, 30), epoch=st.integers(0, 5), shuffle=st.booleans())
def test_weights_say_how_often_rows_come(size: int, other: int, epoch: int, shuffle: bool) -> None:
    mix = Mix((size, other), (3.0, 0.5))
    ours = order(mix, batch_size=4, shuffle=shuffle)
    counts = Counter(flat(ours.batches(epoch)))
    assert all(counts[i] == 3 for i in range(size))
    half = max(round(other / 2), 1)
    assert [counts[i] for i in range(size, size + other)].count(1) == half
    assert sum(counts.values()) == mix.epoch_size == 3 * size + half
    assert len(ours.batches(epoch)) == ours.steps_per_epoch
    if not shuffle:
        assert flat(ours.batches(epoch)) == sorted(flat(ours.batches(epoch)), key=lambda i: i >= size)


@pytest.mark.parametrize(("weight", "epochs"), [(0.25, 4), (0.5, 2), (1.75, 4)])
def test_a_share_is_another_one_in_every_epoch_until_all_rows_had_their_turn(
    weight: float, epochs: int
) -> None:
    mix = Mix((20, 3), (weight, 1.0))
    counts = Counter(i for epoch in range(epochs) for i in mix.examples(7, epoch))
    assert {counts[i] for i in range(20)} == {round(weight * epochs)}
    assert mix.examples(7, 0) != mix.examples(7, 1) != mix.examples(8, 1)
    assert mix.examples(7, 1) == mix.examples(7, 1)


def test_weights_and_a_last_batch_that_is_filled() -> None:
    ours = order(Mix((5, 5), (2.0, 0.4)), batch_size=8, last_batch="fill")
    assert [len(batch) for batch in ours.batches(0)] == [8, 8]
    assert set(flat(ours.batches(0))) >= set(range(5))


@given(
    lengths=lengths,
    budget=st.integers(1, 60),
    epoch=st.integers(0, 3),
    order_by=st.sampled_from(["random", "bucketed"]),
)
def test_a_batch_has_as_many_examples_as_its_tokens_allow(
    lengths: list[int], budget: int, epoch: int, order_by: str
) -> None:
    ours = order(Mix((len(lengths),)), lengths, batch_tokens=budget, batch_order=order_by)
    batches = ours.batches(epoch)
    assert sorted(flat(batches)) == list(range(len(lengths)))
    sums = [sum(lengths[i] for i in batch) for batch in batches]
    assert all(tokens <= budget or len(batch) == 1 for tokens, batch in zip(sums, batches, strict=True))
    assert batches == ours.batches(epoch)
    if order_by == "random":
        whole = order(Mix((len(lengths),)), batch_size=len(lengths)).batches(epoch)
        assert flat(batches) == flat(whole)
        assert all(
            tokens + lengths[after[0]] > budget
            for tokens, (_, after) in zip(sums, itertools.pairwise(batches), strict=False)
        )


@given(lengths=lengths, epochs=st.floats(0.1, 3.0), at_most=st.none() | st.integers(1, 50))
def test_steps_are_counted_as_they_will_be_made(
    lengths: list[int], epochs: float, at_most: int | None
) -> None:
    ours = order(Mix((len(lengths),)), lengths, batch_tokens=50)
    whole = [len(ours.batches(epoch)) for epoch in range(4)]
    count = ours.num_steps(epochs, at_most)
    assert count <= (at_most or count)
    if at_most is None:
        assert sum(whole[: int(epochs)]) <= count <= sum(whole[: int(epochs) + 1])
        assert ours.num_steps(float(int(epochs) or 1), None) == sum(whole[: int(epochs) or 1])


@pytest.mark.parametrize("size", [{"batch_size": 3}, {"batch_tokens": 30}])
def test_rows_that_are_not_shuffled_stay_in_the_order_of_the_file(size: dict[str, int]) -> None:
    ours = order(Mix((9,)), [9, 1, 8, 2, 7, 3, 6, 4, 5], batch_order="bucketed", shuffle=False, **size)
    assert flat(ours.batches(1)) == list(range(9))
