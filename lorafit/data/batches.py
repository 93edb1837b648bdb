"""The order of examples as a pure function of (seed, epoch), and packed batches of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, overload

import torch
from torch import Tensor

from lorafit.data.encoding.sequences import TokenSequence

LastBatch = Literal["short", "fill", "drop"]
Item = TypeVar("Item")

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BatchT = TypeVar("BatchT", bound="DataclassInstance")

_POOL_BATCHES = 50  # sorted by length together, as transformers' LengthGroupedSampler does
_FILL_SEED = 911  # data_utils.py of the paper's code fills its last batch with rows drawn from Random(911)


def num_batches(num_examples: int, batch_size: int, last_batch: LastBatch) -> int:
    """Optimizer steps in one epoch."""
    return num_examples // batch_size if last_batch == "drop" else -(-num_examples // batch_size)


def epoch_order(
    num_examples: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    shuffle: bool,
    last_batch: LastBatch,
    lengths: Sequence[int] | None = None,
) -> Sequence[list[int]]:
    """Example indices, batch by batch, for one epoch (counted from 0). With `lengths`, bucketed by them.

    With `shuffle` and `last_batch="fill"` this is the order of the paper's code on one GPU: a permutation of
    ceil(n / batch) * batch places drawn from `manual_seed(seed + epoch)` (torch's DistributedSampler), in which a place
    behind the last example is filled with a random one.
    """
    places = (
        num_batches(num_examples, batch_size, last_batch) * batch_size
        if last_batch == "fill"
        else num_examples
    )
    order = torch.arange(places)
    if shuffle:
        order = torch.randperm(places, generator=torch.Generator().manual_seed(seed + epoch))
    if last_batch == "fill":
        order = _fill(order, num_examples, epoch)
    order = order[: num_batches(num_examples, batch_size, last_batch) * batch_size]
    if lengths is not None:
        return _bucketed(order.tolist(), batch_size, lengths, random.Random(f"{seed} {epoch}"))
    return EvenBatches(order, batch_size)


class EvenBatches(Sequence[list[int]]):
    """An order of examples, so many at a time: of ten million, it takes 80 MB and not a gigabyte."""

    def __init__(self, order: Tensor, batch_size: int) -> None:
        self._order, self._size = order, batch_size

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        match index:
            case slice():
                return [self[i] for i in range(len(self))[index]]
        start = range(len(self))[index] * self._size
        batch: list[int] = self._order[start : start + self._size].tolist()
        return batch


def _fill(order: Tensor, num_examples: int, epoch: int) -> Tensor:
    """Every index past the end becomes the next draw of one generator that runs through all epochs."""
    draw = random.Random(_FILL_SEED)
    places = (order >= num_examples).nonzero().flatten()
    for _ in range(epoch * len(places)):
        draw.randint(0, num_examples - 1)
    order[places] = torch.tensor([draw.randint(0, num_examples - 1) for _ in places], dtype=order.dtype)
    return order


def _bucketed(
    order: Sequence[int], batch_size: int, lengths: Sequence[int], draw: random.Random
) -> list[list[int]]:
    """The same examples, those of like length together: pools of many batches are sorted, and the batches shuffled."""
    pool_size = _POOL_BATCHES * batch_size
    batches = []
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda i: -lengths[i])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    draw.shuffle(batches)
    return batches


def split_evenly(batch: Sequence[Item], micro_batch_size: int | None) -> list[list[Item]]:
    """A batch as micro-batches of at most `micro_batch_size`."""
    size = micro_batch_size or max(len(batch), 1)
    return [list(batch[i : i + size]) for i in range(0, len(batch), size)]


@dataclass(frozen=True)
class SequenceBatch:
    """Examples of one or more members, either end to end in one row [1, T] or padded on the right [n, longest].

    `input_ids`; `position_ids` [1, T] restart with every example and are there in a packed batch only,
    `attention_mask` [n, longest] in a padded one; without either every row is read on its own. `lengths` of the
    examples; `target_places` [N] indices into the flattened input; `targets` [N] the tokens to predict there;
    `num_targets`, `num_tokens` and `counts` of examples by member.
    """

    input_ids: Tensor
    lengths: list[int]
    target_places: Tensor
    targets: Tensor
    num_targets: tuple[int, ...]
    num_tokens: tuple[int, ...]
    counts: tuple[int, ...]
    position_ids: Tensor | None = None
    attention_mask: Tensor | None = None

    @property
    def target_weights(self) -> tuple[int, ...]:
        return self.num_targets

    @property
    def num_places(self) -> int:
        return self.input_ids.numel()

    def to(self, device: torch.device) -> SequenceBatch:
        """The same batch on another device."""
        return to_device(self, device)


def pack(
    examples: Sequence[TokenSequence], max_length: int, counts: Sequence[int] | None = None
) -> SequenceBatch:
    """Lay examples end to end; the last token of each is a target only, never an input.

    `counts`: how many of the examples belong to each member, in order; None where there is one member.
    """
    inputs, mask, targets, shares = _contents(examples, max_length, counts)
    lengths = [len(ids) for ids in inputs]
    return SequenceBatch(
        input_ids=torch.tensor([[token for ids in inputs for token in ids]]),
        lengths=lengths,
        target_places=torch.tensor([is_target for row in mask for is_target in row]).nonzero().flatten(),
        targets=torch.tensor(targets, dtype=torch.long),
        num_targets=shares[0],
        num_tokens=shares[1],
        counts=tuple(counts or (len(examples),)),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
    )


def pad(
    examples: Sequence[TokenSequence], max_length: int, pad_id: int, counts: Sequence[int] | None = None
) -> SequenceBatch:
    """The same examples one below the other, as wide as the longest: for models that cannot share a row."""
    inputs, mask, targets, shares = _contents(examples, max_length, counts)
    longest = max(map(len, inputs))
    wide_mask = [[*row, *[False] * (longest - len(row))] for row in mask]
    return SequenceBatch(
        input_ids=padded(inputs, pad_id),
        lengths=[len(ids) for ids in inputs],
        target_places=torch.tensor(wide_mask).flatten().nonzero().flatten(),
        targets=torch.tensor(targets, dtype=torch.long),
        num_targets=shares[0],
        num_tokens=shares[1],
        counts=tuple(counts or (len(examples),)),
        attention_mask=padded([[1] * len(ids) for ids in inputs], 0),
    )


def padded(rows: Sequence[Sequence[int]], filling: int) -> Tensor:
    """Rows of several lengths -> [n, longest], filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows])


def shares_of(values: Sequence[int], counts: Sequence[int] | None) -> tuple[int, ...]:
    """Sums of consecutive values, `counts` of them for each member."""
    if counts is None:
        return (sum(values),)
    ends = list(itertools.accumulate(counts))
    return tuple(sum(values[end - count : end]) for count, end in zip(counts, ends, strict=True))


def to_device(batch: BatchT, device: torch.device) -> BatchT:
    """A frozen dataclass with every tensor in it on another device."""
    moved = {k: v.to(device, non_blocking=True) for k, v in vars(batch).items() if isinstance(v, Tensor)}
    return replace(batch, **moved)


def _contents(
    examples: Sequence[TokenSequence], max_length: int, counts: Sequence[int] | None
) -> tuple[list[list[int]], list[list[bool]], list[int], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Inputs, which of them have a target, the targets, and the numbers of targets and tokens by member."""
    inputs = [example.inputs(max_length) for example in examples]
    mask = [example.target_mask(max_length) for example in examples]
    targets = [token for example in examples for token in example.targets(max_length)]
    shares = (shares_of([sum(row) for row in mask], counts), shares_of([len(ids) for ids in inputs], counts))
    return inputs, mask, targets, shares
