"""The order of examples is a pure function of (seed, epoch), and the paper's where it is asked for."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from lorafit.data.batches import epoch_order, num_batches, pack, pad, split_evenly
from lorafit.data.encoding.encode import EncodedPair

sizes = {"num_examples": st.integers(1, 50), "batch_size": st.integers(1, 12)}


def order(
    num_examples: int, batch_size: int, seed: int = 0, epoch: int = 0, **changes: Any
) -> list[list[int]]:
    options: dict[str, Any] = {"shuffle": True, "last_batch": "short"} | changes
    return list(epoch_order(num_examples, batch_size, seed=seed, epoch=epoch, **options))


@given(**sizes, shuffle=st.booleans())
def test_every_example_once(num_examples: int, batch_size: int, shuffle: bool) -> None:
    batches = order(num_examples, batch_size, shuffle=shuffle)
    assert sorted(i for batch in batches for i in batch) == list(range(num_examples))
    assert len(batches) == num_batches(num_examples, batch_size, "short")
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(**sizes)
def test_dropping_and_filling_the_last_batch(num_examples: int, batch_size: int) -> None:
    dropped = order(num_examples, batch_size, last_batch="drop")
    filled = order(num_examples, batch_size, last_batch="fill")
    assert all(len(batch) == batch_size for batch in dropped + filled)
    assert len(dropped) == num_examples // batch_size
    assert set(range(num_examples)) == {i for batch in filled for i in batch}
    extra = Counter(i for batch in filled for i in batch)
    assert sum(extra.values()) - num_examples == -num_examples % batch_size


@given(**sizes, seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_order_is_a_function_of_seed_and_epoch(
    num_examples: int, batch_size: int, seed: int, epoch: int
) -> None:
    options: dict[str, Any] = {"seed": seed, "epoch": epoch, "last_batch": "fill"}
    torch.manual_seed(1)
    first = order(num_examples, batch_size, **options)
    torch.manual_seed(2)
    random.seed(3)
    assert order(num_examples, batch_size, **options) == first


def test_file_order_without_shuffling() -> None:
    assert order(5, 2, epoch=3, shuffle=False) == [[0, 1], [2, 3], [4]]


def test_epochs_differ() -> None:
    assert order(40, 8, epoch=0) != order(40, 8, epoch=1)


def test_the_papers_order() -> None:
    """FT_Dataset has ceil(n / 8) * 8 places, the last ones drawn from Random(911); DistributedSampler shuffles them."""
    num_examples, batch_size, seed = 21, 8, 110
    draw = random.Random(911)
    for epoch in range(3):
        places = torch.randperm(24, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        expected = [place if place < 21 else draw.randint(0, 20) for place in places]
        found = order(num_examples, batch_size, seed=seed, epoch=epoch, last_batch="fill")
        assert [i for batch in found for i in batch] == expected


def test_splitting_into_micro_batches() -> None:
    assert split_evenly([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert split_evenly([1, 2], None) == [[1, 2]]


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 99), max_size=6), st.lists(st.integers(1, 99), max_size=6)),
        min_size=1,
        max_size=5,
    )
)
def test_packing_keeps_every_token_and_target(rows: list[tuple[list[int], list[int]]]) -> None:
    examples = [EncodedPair((*context, 0), (*completion, 0)) for context, completion in rows]
    batch = pack(examples, 512)
    assert batch.position_ids is not None
    ids, positions = batch.input_ids[0].tolist(), batch.position_ids[0].tolist()
    start = 0
    for example, length in zip(examples, batch.lengths, strict=True):
        assert ids[start : start + length] == [*example.prompt_ids, *example.completion_ids][:-1]
        assert positions[start : start + length] == list(range(length))
        start += length
    assert (start,) == batch.num_tokens
    targets = [token for example in examples for token in example.completion_ids]
    assert batch.targets.tolist() == targets
    assert batch.num_targets == (len(batch.target_places),)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(2, 9),
    st.integers(0, 6),
)
def test_padding_keeps_what_packing_keeps(
    sizes: list[tuple[int, int]], max_length: int, num_first: int
) -> None:
    examples = [EncodedPair(tuple(range(1, 1 + n)), tuple(range(11, 11 + m))) for n, m in sizes]
    first = min(num_first, len(examples))
    counts = [first, len(examples) - first]
    packed, padded = pack(examples, max_length, counts), pad(examples, max_length, 99, counts)
    assert padded.attention_mask is not None
    assert padded.input_ids[padded.attention_mask.bool()].tolist() == packed.input_ids[0].tolist()
    assert padded.targets.tolist() == packed.targets.tolist()
    places = [batch.input_ids.flatten()[batch.target_places].tolist() for batch in (packed, padded)]
    assert places[0] == places[1]
    assert packed.num_targets == padded.num_targets
    assert packed.num_tokens == padded.num_tokens
    assert sum(packed.num_tokens) == packed.num_places
    alone = [pack(part, max_length) for part in (examples[:first], examples[first:]) if part]
    assert [n for n in packed.num_tokens if n] == [batch.num_tokens[0] for batch in alone]
