"""How often the rows of each file come in an epoch, and which examples each optimizer step has.

Everything here is a pure function of (seed, epoch), of the numbers of examples and, where batches depend on them, of
their lengths: the same on any number of processes and after a resume.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafit.data.batches import epoch_order, num_batches
from lorafit.recipe import TrainSection

_POOL_BATCHES = 50  # sorted by length together, as where batches are counted in examples


@dataclass(frozen=True)
class Mix:
    """Examples of several files, one file after the other: how many each has, and how often they come in an epoch.

    Of a weight such as 2.5, all examples come twice and half of them once more: those that follow in a fixed order of
    the file, so that after two epochs all came equally often. Without weights every example comes once.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @property
    def num_examples(self) -> int:
        """Of all files."""
        return sum(self.sizes)

    @property
    def epoch_size(self) -> int:
        """Examples in an epoch, the same in each."""
        return sum(times * size + extra for size, times, extra in self._counts())

    def examples(self, seed: int, epoch: int) -> Sequence[int]:
        """The indices of an epoch's examples, in the order of the files."""
        if not self.weights:
            return range(self.num_examples)
        chosen: list[int] = []
        start = 0
        for number, (size, times, extra) in enumerate(self._counts()):
            chosen += list(range(start, start + size)) * times
            chosen += sorted(start + i for i in _window(size, extra, epoch, f"{seed} {number}"))
            start += size
        return chosen

    def _counts(self) -> Iterator[tuple[int, int, int]]:
        """For every file: its size, how often all of it comes, and how many examples come once more."""
        for size, weight in zip(self.sizes, self.weights or (1.0,) * len(self.sizes), strict=True):
            times = math.floor(weight)
            extra = min(max(round((weight - times) * size), 1 if size and not times else 0), size)
            yield size, times, extra


def _window(size: int, count: int, epoch: int, seed: str) -> list[int]:
    """`count` of `size` indices: those of a fixed random order that follow the ones of the epoch before."""
    order = random.Random(seed).sample(range(size), size) if count else []
    return [order[(epoch * count + i) % size] for i in range(count)]


@dataclass(frozen=True)
class Order:
    """The examples of every optimizer step. `lengths` of all of them in tokens, where the batches depend on these."""

    section: TrainSection
    mix: Mix
    lengths: Sequence[int] = ()

    @staticmethod
    def needs_lengths(section: TrainSection) -> bool:
        """Whether the batches depend on the lengths of examples."""
        return section.batch_size is None or _is_bucketed(section)

    @property
    def notes(self) -> list[str]:
        """What is to be said of steps that hold more than they should."""
        budget = self.section.batch_tokens
        num_longer = sum(length > budget for length in self.lengths) if budget is not None else 0
        if not num_longer:
            return []
        what = f"{num_longer:,} of {len(self.lengths):,} training examples have more than {budget:,} tokens"
        return [f"{what} (train.batch_tokens); each is a step of its own"]

    @property
    def steps_per_epoch(self) -> int | None:
        """Where it is the same in each; None where batches are counted in tokens."""
        if self.section.batch_size is None:
            return None
        return num_batches(self.mix.epoch_size, self.section.batch_size, self.section.last_batch)

    def batches(self, epoch: int) -> Sequence[list[int]]:
        """The example indices of each step of an epoch, counted from 0."""
        section = self.section
        examples = self.mix.examples(section.seed, epoch)
        lengths = [self.lengths[i] for i in examples] if self.needs_lengths(section) else None
        bucketed = _is_bucketed(section)
        batches: Sequence[list[int]] = epoch_order(
            len(examples),
            section.batch_size or max(len(examples), 1),
            seed=section.seed,
            epoch=epoch,
            shuffle=section.shuffle,
            last_batch=section.last_batch,
            lengths=lengths if bucketed and section.batch_size is not None else None,
        )
        if section.batch_tokens is not None and lengths is not None:
            whole = list(itertools.chain.from_iterable(batches))
            draw = random.Random(f"{section.seed} {epoch}") if bucketed else None
            batches = token_batches(whole, lengths, section.batch_tokens, draw)
        if not self.mix.weights:
            return batches
        return [[examples[i] for i in batch] for batch in batches]

    def num_steps(self, epochs: float, at_most: int | None) -> int:
        """Steps of so many epochs, where each may have another number of them; of the last, its share is rounded up."""
        count = 0
        for epoch in range(math.ceil(epochs)):
            count += math.ceil(len(self.batches(epoch)) * min(epochs - epoch, 1.0))
            if at_most is not None and count >= at_most:
                return at_most
        return count


def _is_bucketed(section: TrainSection) -> bool:
    return section.batch_order == "bucketed" and section.shuffle


def token_batches(
    order: Sequence[int], lengths: Sequence[int], budget: int, draw: random.Random | None = None
) -> list[list[int]]:
    """Examples in order, as many in a batch as have `budget` tokens together; a longer one is a batch of its own.

    With `draw`, those of like length together: stretches of the order are sorted, and the batches shuffled.
    """
    if draw is None:
        return _filled(order, lengths, budget)
    stretches = _filled(order, lengths, _POOL_BATCHES * budget)
    batches = [
        batch
        for stretch in stretches
        for batch in _filled(sorted(stretch, key=lambda i: -lengths[i]), lengths, budget)
    ]
    draw.shuffle(batches)
    return batches


def _filled(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if not batches or lengths[index] > room:
            batches.append([])
            room = budget
        batches[-1].append(index)
        room -= lengths[index]
    return batches
