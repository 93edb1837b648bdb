"""The training loop. It yields what happened, and knows no screen, no metric and no file."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from lorafit.data.batches import split_evenly
from lorafit.errors import DivergedError, OutOfMemoryError, SetKey
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


FitEvent = Stepped | EpochEnded | MemoryRanOut


def fit(
    model: ModelT,
    members: Sequence[Member[Example]],
    objective: Loss[ModelT, Example, BatchT],
    group: ProcessGroup,
) -> Iterator[FitEvent]:
    """Train every member from its position until its last step, and yield after every step and every epoch.

    Members make their steps together: a micro-batch holds a part of each. A member's loss is a sum over its targets
    divided by the step's number of its targets (or the sum of their weights), so neither micro-batches, nor the number
    of processes, nor the other members change it. A position stays at the end of an epoch while `EpochEnded` is dealt
    with: a run that is resumed from there hears of that end again.
    Raises DivergedError before an update whose loss is NaN or infinite, so that the parameters stay good, and
    OutOfMemoryError when even the smallest micro-batch is too large.
    """
    while True:
        for number, member in enumerate(members):
            if not member.is_finished and member.is_at_epoch_end:
                yield EpochEnded(member.position.epoch + 1, member.position.step, number)
                member.begin_epoch()
        active = {number: member for number, member in enumerate(members) if not member.is_finished}
        if not active:
            return
        yield from _step(active, _Step(model, list(active.values()), objective, group))


def _step(active: dict[int, Member[Example]], step: _Step[ModelT, Example, BatchT]) -> Iterator[FitEvent]:
    """One optimizer step of every active member."""
    started = time.perf_counter()
    learning_rates = [member.begin_step() for member in active.values()]
    while (sums := step.add_gradients()) is None:
        for number, member in active.items():
            member.optimizer.zero_grad(set_to_none=True)
            size = len(step.group.shard(member.next_batch()))
            yield MemoryRanOut(member.position.step + 1, _halve_micro_batch(member.position, size), number)
    norms = []
    for member, each in zip(active.values(), sums, strict=True):
        _check_finite(each.loss, member.position.step + 1)
        norms.append(member.end_step())
    seconds = time.perf_counter() - started
    for number, rate, each, norm in zip(active, learning_rates, sums, norms, strict=True):
        yield Stepped(
            active[number].position.step,
            each.loss,
            rate,
            each.num_targets,
            each.num_tokens,
            seconds,
            each.num_places,
            number,
            norm,
        )


@dataclass(frozen=True)
class _Sums:
    """Of a member's step, over all micro-batches and processes; `loss` is already divided by the targets' weight."""

    loss: float
    num_targets: int
    num_tokens: int
    num_places: int


@dataclass(frozen=True)
class _Step(Generic[ModelT, Example, BatchT]):
    """The next step of some members, whose examples share micro-batches."""

    model: ModelT
    members: Sequence[Member[Example]]
    objective: Loss[ModelT, Example, BatchT]
    group: ProcessGroup

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
        for member in self.members:
            group.all_reduce_gradients(member.parameters)
        return [
            _Sums(total, num_targets, num_tokens, int(counts[-1]))
            for total, num_targets, num_tokens in zip(totals, targets, tokens, strict=True)
        ]

    def _micro_batches(self) -> list[list[list[Example]]]:
        """This process's share of the step: micro-batches, each with a part of every member (perhaps an empty one)."""
        split = []
        for member in self.members:
            mine = split_evenly(self.group.shard(member.next_batch()), member.position.micro_batch_size)
            split.append([[member.steps.examples[i] for i in part] for part in mine if part])
        rounds = max(map(len, split))
        return [[parts[i] if i < len(parts) else [] for parts in split] for i in range(rounds)]

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
        except torch.OutOfMemoryError:
            return totals, True
        return totals, False

    def _first_examples(self) -> BatchT:
        return self.objective.collate([[m.steps.examples[m.next_batch()[0]]] for m in self.members])


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
    gc.collect()  # what the failed pass held
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return at.micro_batch_size


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"step {step}: the loss is {loss}",
            SetKey("train.learning_rate", note="lower"),
            SetKey("train.warmup_steps", note="more"),
            SetKey("model.dtype", "float32"),
        )
