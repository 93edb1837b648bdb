"""The processes that carry out one run together: mostly it is one, and then nothing here costs anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import nn

from lorafit.errors import InterruptedRunError

Item = TypeVar("Item")
Result = TypeVar("Result")
Made = TypeVar("Made")
StopReason = Callable[[float], str | None]
"""Why the run should stop now, if saving takes so many seconds: a signal, a time limit; None while it should not."""


def never(_: float) -> None:
    """Nothing stops the run."""


class World:
    """One process on its own. `lorafit.training.distributed` has the kind with several."""

    rank = 0
    size = 1
    in_step = False  # whether all processes must make every forward pass together

    def __init__(self, stop_reason: StopReason = never) -> None:
        self.stop_reason = stop_reason
        self.seconds_to_save = 0.0  # measured by whoever saves

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def part(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of an optimizer step; parts differ in length by one at most."""
        return items[len(items) * self.rank // self.size : len(items) * (self.rank + 1) // self.size]

    def each(self, items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
        """work(item) for every item, in order: each done by one process and told to all.

        They go in rounds in which every process has one item; before each round all agree whether to stop.
        Raises InterruptedRunError, in all processes in the same round.
        """
        for start in range(0, len(items), self.size):
            self.stop_if_asked()
            mine = items[start + self.rank : start + self.rank + 1]
            for results in self.gather([work(item) for item in mine]):
                yield from results

    def rounds(self, count: int) -> int:
        """How many forward passes this process makes where it needs `count`: in step, as many as the others."""
        return count

    def stop_if_asked(self) -> None:
        """Raises InterruptedRunError if a process was asked to stop."""
        if reason := self.reason():
            raise InterruptedRunError(reason)

    def reason(self) -> str | None:
        """Why this process should stop now; None while it should not."""
        return self.stop_reason(self.seconds_to_save)

    def should_stop(self) -> bool:
        """Whether this process may break off in the midst of an item, since no other waits for it."""
        return self.reason() is not None

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        return list(values)

    def gather(self, value: Item) -> list[Item]:
        """The value of every process, by rank."""
        return [value]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up every parameter's gradient over all processes."""

    def same_start(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give every process the first one's values."""

    def from_leader(self, make: Callable[[], Made]) -> Made:
        """What `make` gives in the leading process, for all. What it raises ends all."""
        return make()

    def leader_first(self, make: Callable[[], Made]) -> Made:
        """make() in every process, in the leading one before the others: it downloads, and they find it there."""
        return make()


ALONE = World()
