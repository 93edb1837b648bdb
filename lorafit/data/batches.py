"""The order of examples as a pure function of (seed, epoch), and packed batches of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import Tensor

from lorafit.data.encode import EncodedPair

LastBatch = Literal["short", "fill", "drop"]
Item = TypeVar("Item")

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
) -> list[list[int]]:
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
    order = list(range(places))
    if shuffle:
        order = torch.randperm(places, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    if last_batch == "fill":
        order = _fill(order, num_examples, epoch)
    order = order[: num_batches(num_examples, batch_size, last_batch) * batch_size]
    if lengths is not None:
        return _bucketed(order, batch_size, lengths, random.Random(f"{seed} {epoch}"))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def _fill(order: list[int], num_examples: int, epoch: int) -> list[int]:
    """Every index past the end becomes the next draw of one generator that runs through all epochs."""
    draw = random.Random(_FILL_SEED)
    for _ in range(epoch * (len(order) - num_examples)):
        draw.randint(0, num_examples - 1)
    return [i if i < num_examples else draw.randint(0, num_examples - 1) for i in order]


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
class PackedBatch:
    """Examples end to end in one row [1, T], or padded on the right [n, longest]; N of the tokens have a target.

    `position_ids` [1, T] restart with every example and are there in a packed batch only, `attention_mask`
    [n, longest] in a padded one; `lengths` of the examples; `target_places` [N] indices into the flattened input;
    `targets` [N] the tokens to predict there.
    """

    input_ids: Tensor
    lengths: list[int]
    target_places: Tensor
    targets: Tensor
    position_ids: Tensor | None = None
    attention_mask: Tensor | None = None

    @property
    def num_targets(self) -> int:
        return self.targets.numel()

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    @property
    def num_places(self) -> int:
        return self.input_ids.numel()

    def to(self, device: torch.device) -> PackedBatch:
        """The same batch on another device."""
        moved = {k: v.to(device, non_blocking=True) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)  # type: ignore[arg-type]


def pack(examples: Sequence[EncodedPair], max_length: int) -> PackedBatch:
    """Lay examples end to end; the last token of each is a target only, never an input."""
    inputs = [example.inputs(max_length) for example in examples]
    lengths = [len(ids) for ids in inputs]
    mask = torch.tensor([is_target for example in examples for is_target in example.target_mask(max_length)])
    targets = [token for example in examples for token in example.targets(max_length)]
    return PackedBatch(
        input_ids=torch.tensor([[token for ids in inputs for token in ids]]),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        lengths=lengths,
        target_places=mask.nonzero().flatten(),
        targets=torch.tensor(targets, dtype=torch.long),
    )


def pad(examples: Sequence[EncodedPair], max_length: int, pad_id: int) -> PackedBatch:
    """The same examples one below the other, as wide as the longest: for models in which they cannot share a row."""
    row = pack(examples, max_length)
    longest = max(row.lengths)
    places = torch.tensor([i * longest + t for i, n in enumerate(row.lengths) for t in range(n)])
    ids = row.input_ids.new_full((len(examples) * longest,), pad_id).scatter(0, places, row.input_ids[0])
    real = torch.zeros_like(ids).index_fill(0, places, 1)
    return PackedBatch(
        input_ids=ids.view(-1, longest),
        lengths=row.lengths,
        target_places=places[row.target_places],
        targets=row.targets,
        attention_mask=real.view(-1, longest),
    )
