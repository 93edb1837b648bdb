"""The training loop. It yields what happened, and knows no screen, no metric and no file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from lorafit.allocator import keep_freed
from lorafit.data.batches import split_evenly
from lorafit.errors import DivergedError, OutOfMemoryError, SetKey
from lorafit.models.placement import free_memory, is_out_of_memory
from lorafit.training.member import Example, Member, Position
from lorafit.training.process_group import ProcessGroup


class Batch(Protocol):
    """What the loop must know of a micro-batch, which holds a part of each member."""

    @property
    def num_targets(self) -> Sequence[int]:
        """Targets of the loss, by member."""
        ...

    @property
    def target_weights(self) -> Sequence[float]:
        """What the targets of each member count together: a summed loss is divided by it."""
        ...

    @property
    def num_tokens(self) -> Sequence[int]:
        """Real tokens, by member."""
        ...

    @property
    def num_places(self) -> int:
        """Tokens of all members together, with padding."""
        ...


BatchT = TypeVar("BatchT", bound=Batch)
ExampleIn = TypeVar("ExampleIn", contravariant=True)
ModelT = TypeVar("ModelT")
ModelIn = TypeVar("ModelIn", contravariant=True)


class Loss(Protocol[ModelIn, ExampleIn, BatchT]):
    """What the loop needs of an objective: examples to a batch, a batch to a sum of losses for each member."""

    def collate(self, parts: Sequence[Sequence[ExampleIn]]) -> BatchT:
        """One part a member -> a batch."""
        ...

    def loss_sums(self, model: ModelIn, batch: BatchT, label_smoothing: Sequence[float]) -> Tensor:
        """[members]: the loss of each member, summed over its targets. `label_smoothing` of each."""
        ...


@dataclass(frozen=True)
class Stepped:
    """An optimizer step is done. `step` counts from 1; `loss` is the mean over its targets, before the update, and
    `grad_norm` the gradient's norm before it is clipped."""

    step: int
    loss: float
    learning_rate: float
    num_targets: int
    num_tokens: int
    seconds: float
    num_places: int = 0  # tokens with padding
    member: int = 0
    grad_norm: float = 0.0

    @property
    def padding(self) -> float:
        """Share of the batch that is padding."""
        return 1.0 - self.num_tokens / self.num_places if self.num_places else 0.0


@dataclass(frozen=True)
class EpochEnded:
    """A pass over the data is done, or the last step: the time to validate. `epoch` counts from 1."""

    epoch: int
    step: int
    member: int = 0


@dataclass(frozen=True)
class MemoryRanOut:
    """Step `step` did not fit into memory and is made again with smaller micro-batches; the result stays the same."""

    step: int
    micro_batch_size: int
    member: int = 0


@dataclass(frozen=True)
class FewerAtOnce:
    """So many members are trained together from now on, since more did not fit into memory; the others wait."""

    at_once: int
    member: int = 0  # the first of those that are


@dataclass(frozen=True)
class Failed:
    """A member's loss or gradient is NaN or infinite: it was stopped before the update, so its parameters are still
    good."""

    error: DivergedError
    member: int = 0


FitEvent = Stepped | EpochEnded | MemoryRanOut | FewerAtOnce | Failed


def fit(
    model: ModelT,
    members: Sequence[Member[Example]],
    objective: Loss[ModelT, Example, BatchT],
    group: ProcessGroup,
    at_once: int | None = None,
) -> Iterator[FitEvent]:
    """Train every member from its position until its last step, and yield after every step and every epoch.

    Members make their steps together, the first `at_once` of those that are not finished: a micro-batch holds a part of
    each, an empty one of those that wait. A member's loss is a sum over its targets divided by the step's number of its
    targets (or the sum of their weights), so neither micro-batches, nor the number of processes, nor the other members
    change it. A position stays at the end of an epoch while `EpochEnded` is dealt with: a run that is resumed from
    there hears of that end again. Whoever takes the events may set a member's `stopped`.
    Where memory runs out, fewer make their step together, and then in smaller micro-batches. Raises OutOfMemoryError
    when even the smallest micro-batch is too large, and InterruptedRunError after a step or an epoch of all members,
    when a process was asked to stop.
    """
    at_once = at_once or len(members)
    keep_freed()
    while True:
        for number, member in enumerate(members):
            if not member.is_finished and member.is_at_epoch_end:
                yield EpochEnded(member.position.epoch + 1, member.position.step, number)
                group.stop_if_asked()
                member.begin_epoch()
        unfinished = [number for number, member in enumerate(members) if not member.is_finished]
        if not unfinished:
            return
        step = _Step(model, members, tuple(unfinished[:at_once]), objective, group)
        for event in step.make():
            if isinstance(event, FewerAtOnce):
                at_once = event.at_once
            yield event
        group.stop_if_asked()


@dataclass(frozen=True)
class _Sums:
    """Of a member's step, over all micro-batches and processes; `loss` is already divided by the targets' weight."""

    loss: float
    num_targets: int
    num_tokens: int
    num_places: int


@dataclass(frozen=True)
class _Step(Generic[ModelT, Example, BatchT]):
    """The next step of some members, whose examples share micro-batches. `active`: their numbers."""

    model: ModelT
    members: Sequence[Member[Example]]
    active: tuple[int, ...]
    objective: Loss[ModelT, Example, BatchT]
    group: ProcessGroup

    def make(self) -> Iterator[FitEvent]:
        """Make it. What did not fit into memory is made with less, unless that means fewer members."""
        started = time.perf_counter()
        active = [self.members[number] for number in self.active]
        before = [member.draws.state() for member in active]
        learning_rates = [member.begin_step() for member in active]
        while (sums := self.add_gradients()) is None:
            for member, state in zip(active, before, strict=True):
                member.optimizer.zero_grad(set_to_none=True)
                member.draws.set_state(state)
            free_memory()
            if len(active) > 1:
                yield FewerAtOnce(len(active) // 2, self.active[0])
                return
            size = len(self.group.shard(active[0].next_batch()))
            halved = _halve_micro_batch(active[0].position, size)
            yield MemoryRanOut(active[0].position.step + 1, halved, self.active[0])
        norms = [member.gradient_norm() for member in active]
        lengths = [norm.item() for norm in norms]
        done = set[int]()
        for number, member, norm, length in zip(self.active, active, norms, lengths, strict=True):
            if (error := _not_finite(sums[number].loss, length, member.position.step + 1)) is not None:
                member.optimizer.zero_grad(set_to_none=True)
                member.stopped = True
                yield Failed(error, number)
            else:
                member.end_step(norm)
                done.add(number)
        seconds = time.perf_counter() - started
        for number, member, rate, length in zip(self.active, active, learning_rates, lengths, strict=True):
            if number in done:
                each = sums[number]
                yield Stepped(
                    member.position.step,
                    each.loss,
                    rate,
                    each.num_targets,
                    each.num_tokens,
                    seconds,
                    each.num_places,
                    number,
                    length,
                )

    def add_gradients(self) -> list[_Sums] | None:
        """Backward through every micro-batch of the step. None when a process ran out of memory."""
        count, group = len(self.members), self.group
        batches = [self.objective.collate(parts) for parts in self._micro_batches()]
        targets = [sum(batch.num_targets[i] for batch in batches) for i in range(count)]
        tokens = [sum(batch.num_tokens[i] for batch in batches) for i in range(count)]
        weights = [sum(batch.target_weights[i] for batch in batches) for i in range(count)]
        places = sum(batch.num_places for batch in batches)
        counts = group.all_reduce_sum([*targets, *tokens, *weights, places])
        targets, tokens = list(map(int, counts[:count])), list(map(int, counts[count : 2 * count]))
        idle = group.num_forward_passes(len(batches)) - len(batches)
        losses, ran_out = self._backward(batches, idle, counts[2 * count : -1])
        *totals, failures = group.all_reduce_sum([*losses, float(ran_out)])
        if failures:
            return None
        for number in self.active:
            group.all_reduce_gradients(self.members[number].parameters)
        return [
            _Sums(total, num_targets, num_tokens, int(counts[-1]) if count == 1 else num_tokens)
            for total, num_targets, num_tokens in zip(totals, targets, tokens, strict=True)
        ]

    def _micro_batches(self) -> list[list[list[Example]]]:
        """This process's share of the step: micro-batches, each with a part of every member (perhaps an empty one)."""
        split: dict[int, list[list[Example]]] = {}
        for number in self.active:
            member = self.members[number]
            mine = split_evenly(self.group.shard(member.next_batch()), member.position.micro_batch_size)
            split[number] = [[member.steps.examples[i] for i in part] for part in mine if part]
        rounds = range(max(map(len, split.values())))
        numbers = range(len(self.members))
        return [[split[n][i] if n in split and i < len(split[n]) else [] for n in numbers] for i in rounds]

    def _backward(
        self, batches: Sequence[BatchT], num_idle: int, target_weights: Sequence[float]
    ) -> tuple[list[float], bool]:
        """The loss of each member over this process's micro-batches, and whether memory ran out."""
        smoothing = [member.label_smoothing for member in self.members]
        divisors = [weight or 1.0 for weight in target_weights]
        totals = [0.0] * len(self.members)
        try:
            for batch in batches:
                sums = self.objective.loss_sums(self.model, batch, smoothing)
                losses = [total / divisor for total, divisor in zip(sums.unbind(), divisors, strict=True)]
                torch.stack(losses).sum().backward() if len(losses) > 1 else losses[0].backward()
                totals = [t + loss.item() for t, loss in zip(totals, losses, strict=True)]
            for _ in range(num_idle):  # in lockstep the others still make a pass
                sums = self.objective.loss_sums(self.model, self._first_examples(), smoothing)
                (0.0 * sums.sum()).backward()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return totals, True
        return totals, False

    def _first_examples(self) -> BatchT:
        return self.objective.collate(
            [
                [member.steps.examples[member.next_batch()[0]]] if number in self.active else []
                for number, member in enumerate(self.members)
            ]
        )


def _halve_micro_batch(at: Position, num_examples: int) -> int:
    """The new size. Raises OutOfMemoryError when the micro-batch cannot be halved."""
    size = min(at.micro_batch_size or num_examples, num_examples)
    if size <= 1 or at.oom_retries == 0:
        raise OutOfMemoryError(
            f"step {at.step + 1}: out of memory with micro-batches of {size}",
            SetKey("train.micro_batch_size", note="lower; the result stays the same"),
            SetKey("train.gradient_checkpointing", True, "slower; the result stays the same"),
            SetKey("data.max_length", note="lower"),
            SetKey("model.dtype", "bfloat16"),
        )
    at.micro_batch_size = (size + 1) // 2
    at.oom_retries -= 1
    return at.micro_batch_size


def _not_finite(loss: float, gradient_norm: float, step: int) -> DivergedError | None:
    what, value = ("norm of the gradient", gradient_norm) if math.isfinite(loss) else ("loss", loss)
    if math.isfinite(value):
        return None
    return DivergedError(
        f"step {step}: the {what} is {value}",
        SetKey("train.learning_rate", note="lower"),
        SetKey("train.warmup_steps", note="more"),
        SetKey("model.dtype", "float32"),
    )
