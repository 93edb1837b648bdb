"""The training loop. It yields what happened, and knows no screen, no metric and no file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from lorafit.errors import DivergedError
from lorafit.training.schedule import Schedule


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
class Steps:
    """The micro-batches of every optimizer step: `of_epoch(e)` yields a list for each step of epoch e, from 0."""

    of_epoch: Callable[[int], Iterator[Sequence[Batch]]]
    total: int


def fit(
    trained: Sequence[nn.Parameter],
    steps: Steps,
    loss_sum: LossSum,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    max_grad_norm: float = 0.0,
) -> Iterator[Stepped | EpochEnded]:
    """Train until `steps.total`, yielding after every optimizer step and at the end of every epoch.

    The loss is a sum over target tokens divided by the step's number of target tokens, so micro-batches change nothing.
    Raises DivergedError before an update whose loss is NaN or infinite, so that the parameters stay good.
    """
    step = epoch = 0
    while step < steps.total:
        for micro_batches in steps.of_epoch(epoch):
            started = time.perf_counter()
            learning_rate = _set_learning_rate(optimizer, schedule, step)
            num_targets = sum(batch.num_targets for batch in micro_batches)
            total = torch.zeros((), dtype=torch.float64)
            for batch in micro_batches:
                loss = loss_sum(batch) / max(num_targets, 1)
                loss.backward()
                total += loss.detach().double().cpu()
            step += 1
            _check_finite(total.item(), step)
            if max_grad_norm > 0:
                nn.utils.clip_grad_norm_(trained, max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            num_tokens = sum(batch.num_tokens for batch in micro_batches)
            seconds = time.perf_counter() - started
            num_places = sum(batch.num_places for batch in micro_batches)
            yield Stepped(step, total.item(), learning_rate, num_targets, num_tokens, seconds, num_places)
            if step == steps.total:
                break
        epoch += 1
        yield EpochEnded(epoch, step)


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
