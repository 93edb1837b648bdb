"""Bucketed order: the same examples in batches of like length, a pure function of (seed, epoch)."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from lorafit.data.batches import epoch_order

LENGTHS = random.Random(0).choices(range(3, 90), k=1013)


def order(bucketed: bool, epoch: int = 0, seed: int = 1, last_batch: str = "short") -> list[list[int]]:
    return [
        *epoch_order(
            len(LENGTHS),
            8,
            seed=seed,
            epoch=epoch,
            shuffle=True,
            last_batch=last_batch,  # type: ignore[arg-type]
            lengths=LENGTHS if bucketed else None,
        )
    ]


def places(batches: list[list[int]]) -> int:
    return sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)


@pytest.mark.parametrize("last_batch", ["short", "fill", "drop"])
def test_every_example_as_often_as_in_random_order(last_batch: str) -> None:
    random_order, bucketed = order(False, last_batch=last_batch), order(True, last_batch=last_batch)
    assert sorted(chain(*bucketed)) == sorted(chain(*random_order))
    assert sorted(map(len, bucketed)) == sorted(map(len, random_order))


def test_little_padding_is_left() -> None:
    real = sum(LENGTHS)
    assert places(order(True)) < 1.1 * real
    assert places(order(False)) > 1.5 * real


def test_seed_and_epoch_alone_decide_and_both_do() -> None:
    assert order(True) == order(True)
    assert order(True) != order(True, epoch=1)
    assert order(True) != order(True, seed=2)


def test_long_and_short_batches_come_mixed() -> None:
    longest = [max(LENGTHS[i] for i in batch) for batch in order(True)[:50]]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)
