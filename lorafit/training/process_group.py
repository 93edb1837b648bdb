"""The processes that train one run together: usually there is one, and then nothing here costs anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

import torch
from torch import nn

from lorafit.errors import InterruptedRunError

Item = TypeVar("Item")
Result = TypeVar("Result")


class StopCheck(Protocol):
    """Called, it says why the run should stop now (a signal, a time limit), or None while it should go on."""

    def __call__(self) -> str | None: ...

    def save_took(self, seconds: float) -> None:
        """A checkpoint took so long to write: the time limit must leave room for another."""
        ...


class NeverStop:
    """A StopCheck that lets the run go on."""

    def __call__(self) -> str | None:
        return None

    def save_took(self, seconds: float) -> None:
        """Nothing depends on it."""


@dataclass(frozen=True)
class ProcessGroup:
    """A process on its own. `lorafit.training.distributed` has the group of several.

    `lockstep`: every process must make every forward pass together with the others, for each holds a shard of the base.
    """

    stop: StopCheck = field(default_factory=NeverStop)
    rank: int = 0
    size: int = 1
    lockstep: bool = False

    @property
    def is_leader(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def in_lockstep(self) -> Self:
        """The same group, whose processes run every forward pass together."""
        return replace(self, lockstep=self.size > 1)

    def shard(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of an optimizer step; shares differ in length by one at most."""
        return items[len(items) * self.rank // self.size : len(items) * (self.rank + 1) // self.size]

    def map(self, items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
        """work(item) for every item, in order: one process does it, and all get the result.

        Each round gives every process one item. Before a round all processes agree whether to stop.
        Raises InterruptedRunError, in all processes in the same round.
        """
        for start in range(0, len(items), self.size):
            self.stop_if_asked()
            mine = items[start + self.rank : start + self.rank + 1]
            for results in self.all_gather([work(item) for item in mine]):
                yield from results

    def num_forward_passes(self, count: int) -> int:
        """How many forward passes this process makes where it needs `count`: in lockstep, as many as the others."""
        return count

    def split(self, num_parts: int) -> tuple[int, ProcessGroup]:
        """The processes in so many parts, one after the other by rank: this one's part, and its group. All must ask."""
        del num_parts
        return 0, self

    def stop_if_asked(self) -> None:
        """Raises InterruptedRunError if a process was asked to stop."""
        if reason := self.stop():
            raise InterruptedRunError(reason)

    def should_stop_within_item(self) -> bool:
        """Whether this process may break off inside an item, since no other process waits for it."""
        return self.stop() is not None

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        return list(values)

    def all_gather(self, value: Item) -> list[Item]:
        """The value of every process, by rank."""
        return [value]

    def all_reduce_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum every parameter's gradient over all processes."""

    def broadcast_tensors(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give every process the leader's values."""

    def on_leader(self, make: Callable[[], Result]) -> Result:
        """The result of `make` in the leader, for all processes. What it raises ends all of them."""
        return make()

    def leader_first(self, make: Callable[[], Result]) -> Result:
        """make() in every process, in the leader before the others: it downloads, and they find the file."""
        return make()
