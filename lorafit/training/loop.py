"""The training loop. It yields what happened, and knows no screen, no metric and no file."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from lorafit.data import split_evenly
from lorafit.errors import DivergedError, OutOfMemoryError
from lorafit.training.schedule import Schedule
from lorafit.training.world import ALONE, World


class Batch(Protocol):
    """What the loop must know of a micro-batch."""

    @property
    def num_targets(self) -> int: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def num_places(self) -> int:
        """Tokens with padding."""
        ...


_COUNTS = ("num_targets", "num_tokens", "num_places")

LossSum = Callable[[Batch], Tensor]
"""Sum of the loss over the batch's targets, on the right device."""


@dataclass(frozen=True)
class Stepped:
    """An optimizer step is done. `step` counts from 1; `loss` is the mean over its targets, before the update."""

    step: int
    loss: float
    learning_rate: float
    num_targets: int
    num_tokens: int
    seconds: float
    num_places: int = 0  # tokens with padding

    @property
    def padding(self) -> float:
        """Share of the batch that is padding."""
        return 1.0 - self.num_tokens / self.num_places if self.num_places else 0.0


@dataclass(frozen=True)
class EpochEnded:
    """A pass over the data is done, or the last step: the time to validate. `epoch` counts from 1."""

    epoch: int
    step: int


@dataclass(frozen=True)
class MemoryRanOut:
    """Step `step` did not fit into memory and is made again with smaller micro-batches; the result stays the same."""

    step: int
    micro_batch_size: int


@dataclass(frozen=True)
class Steps:
    """The data of every optimizer step: which examples, a pure function of the epoch; and how they become a batch."""

    order: Callable[
        [int], Sequence[Sequence[int]]
    ]  # epoch, from 0 -> the example indices of each of its steps
    collate: Callable[[Sequence[int]], Batch]
    total: int


@dataclass
class Position:
    """How far the loop is. `fit` moves it on, a checkpoint keeps it, and `fit` goes on from it."""

    step: int = 0  # optimizer steps done
    epoch: int = 0  # the epoch under way, from 0
    step_in_epoch: int = 0  # optimizer steps done in it
    micro_batch_size: int | None = (
        None  # examples in memory at once; None: all that the process has of a step
    )
    oom_retries: int = 0  # how often the micro-batch may still be halved


def fit(
    trained: Sequence[nn.Parameter],
    steps: Steps,
    loss_sum: LossSum,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    max_grad_norm: float = 0.0,
    *,
    position: Position | None = None,
    world: World = ALONE,
) -> Iterator[Stepped | EpochEnded | MemoryRanOut]:
    """Train from `position` until `steps.total`, yielding after every optimizer step and at the end of every epoch.

    The loss is a sum over target tokens divided by the step's number of target tokens, so neither micro-batches nor
    the number of processes change anything. The position stays at the end of an epoch while `EpochEnded` is dealt
    with: a run that is resumed from there hears of that end again.
    Raises DivergedError before an update whose loss is NaN or infinite, so that the parameters stay good, and
    OutOfMemoryError when even the smallest micro-batch is too large.
    """
    at = position or Position()
    while at.step < steps.total or at.step_in_epoch:
        for indices in steps.order(at.epoch)[at.step_in_epoch :]:
            if at.step == steps.total:
                break
            started = time.perf_counter()
            learning_rate = _set_learning_rate(optimizer, schedule, at.step)
            while (sums := _add_gradients(trained, steps, indices, loss_sum, at, world)) is None:
                optimizer.zero_grad(set_to_none=True)
                yield _with_less_memory(at, len(world.part(indices)))
            _check_finite(sums.loss, at.step + 1)
            if max_grad_norm > 0:
                nn.utils.clip_grad_norm_(trained, max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            at.step += 1
            at.step_in_epoch += 1
            seconds = time.perf_counter() - started
            yield Stepped(
                at.step,
                sums.loss,
                learning_rate,
                sums.num_targets,
                sums.num_tokens,
                seconds,
                sums.num_places,
            )
        yield EpochEnded(at.epoch + 1, at.step)
        at.epoch += 1
        at.step_in_epoch = 0


@dataclass(frozen=True)
class _Sums:
    """Of a step, over all micro-batches and processes; `loss` is already divided by the number of targets."""

    loss: float
    num_targets: int
    num_tokens: int
    num_places: int


def _add_gradients(
    trained: Sequence[nn.Parameter],
    steps: Steps,
    indices: Sequence[int],
    loss_sum: LossSum,
    at: Position,
    world: World,
) -> _Sums | None:
    """Backward through every micro-batch of a step. None when a process ran out of memory."""
    batches = [steps.collate(part) for part in split_evenly(world.part(indices), at.micro_batch_size) if part]
    num_targets, num_tokens, num_places = map(
        int, world.sum([sum(getattr(b, what) for b in batches) for what in _COUNTS])
    )
    idle = [steps.collate(indices[:1])] * (world.rounds(len(batches)) - len(batches))
    total = torch.zeros((), dtype=torch.float64)
    failed = False
    try:
        for batch in batches:
            loss = loss_sum(batch) / max(num_targets, 1)
            loss.backward()
            total += loss.detach().double().cpu()
        for batch in idle:
            (0.0 * loss_sum(batch)).backward()
    except torch.OutOfMemoryError:
        failed = True
    loss_of_all, num_failed = world.sum([total.item(), float(failed)])
    if num_failed:
        return None
    world.sum_gradients(trained)
    return _Sums(loss_of_all, num_targets, num_tokens, num_places)


def _with_less_memory(at: Position, num_examples: int) -> MemoryRanOut:
    """Halve the micro-batch. Raises OutOfMemoryError when that is not possible."""
    size = min(at.micro_batch_size or num_examples, num_examples)
    if size <= 1 or at.oom_retries == 0:
        raise OutOfMemoryError(
            f"step {at.step + 1}: out of memory with micro-batches of {size}; lower train.micro_batch_size (the result "
            f"stays the same) or data.max_length, or use model.dtype=bfloat16 or train.gradient_checkpointing=true"
        )
    at.micro_batch_size = (size + 1) // 2
    at.oom_retries -= 1
    gc.collect()  # what the failed pass held
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return MemoryRanOut(at.step + 1, at.micro_batch_size)


def _set_learning_rate(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> float:
    learning_rate = schedule.learning_rate(step)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    return learning_rate


def _check_finite(loss: float, step: int) -> None:
    if not torch.isfinite(torch.tensor(loss)):
        raise DivergedError(
            f"step {step}: the loss is {loss}; lower train.learning_rate, lengthen train.warmup_steps, "
            f"or use model.dtype=float32"
        )
