"""A member of a run: what trains, its optimizer and schedule, and how far it is. A run alone has one member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from lorafit.lora import Draws
from lorafit.training.schedule import Schedule

Example = TypeVar("Example")


@dataclass(frozen=True)
class Steps(Generic[Example]):
    """The data of every optimizer step: which examples, as a pure function of the epoch."""

    order: Callable[
        [int], Sequence[Sequence[int]]
    ]  # epoch, from 0 -> the example indices of each of its steps
    examples: Sequence[Example]
    total: int  # optimizer steps


@dataclass
class Position:
    """How far a member is. `fit` moves it on, a checkpoint keeps it, and `fit` goes on from it."""

    step: int = 0  # optimizer steps done
    epoch: int = 0  # the current epoch, from 0
    step_in_epoch: int = 0  # optimizer steps done in it
    micro_batch_size: int | None = (
        None  # examples in memory at once; None: all that the process has of a step
    )
    oom_retries: int = 0  # how often the micro-batch may still be halved


@dataclass
class Member(Generic[Example]):
    """One trained set with an optimizer of its own. The loss of a member is a mean over its own targets alone."""

    trained: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    steps: Steps[Example]
    position: Position = field(default_factory=Position)
    max_grad_norm: float = 0.0  # 0 turns clipping off
    label_smoothing: float = 0.0
    draws: Draws = field(default_factory=lambda: Draws(seed=0))  # of dropout and the like, in this process
    stopped: bool = False  # whether it makes no more steps, although some are left
    _order: tuple[int, Sequence[Sequence[int]]] | None = None  # of the epoch that is its first entry

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters, in order."""
        return list(self.trained.values())

    @property
    def is_finished(self) -> bool:
        """Whether it was stopped, or every step is done and the end of the last epoch was dealt with."""
        at = self.position
        return self.stopped or (at.step >= self.steps.total and not at.step_in_epoch)

    @property
    def is_at_epoch_end(self) -> bool:
        """Whether a pass over the data is done, or the last step."""
        at = self.position
        return at.step == self.steps.total or at.step_in_epoch >= len(self._steps_of_epoch())

    def next_batch(self) -> Sequence[int]:
        """The example indices of the next step."""
        return self._steps_of_epoch()[self.position.step_in_epoch]

    def begin_step(self) -> float:
        """Set the learning rate of the next step, and return it; a group may have so many times that."""
        learning_rate = self.schedule.learning_rate(self.position.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("rate_factor", 1.0)
        return learning_rate

    def gradient_norm(self) -> Tensor:
        """Of all gradients together, before they are clipped."""
        return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])

    def end_step(self, norm: Tensor) -> None:
        """Clip a gradient of this norm, update, and count the step."""
        if self.max_grad_norm > 0:
            nn.utils.clip_grads_with_norm_(self.parameters, self.max_grad_norm, norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.position.step += 1
        self.position.step_in_epoch += 1

    def begin_epoch(self) -> None:
        """Move on to the first step of the next epoch. Where there is none, the moments of the optimizer are let go."""
        self.position.epoch += 1
        self.position.step_in_epoch = 0
        if self.is_finished:
            self.optimizer.state.clear()

    def _steps_of_epoch(self) -> Sequence[Sequence[int]]:
        epoch = self.position.epoch
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self.steps.order(epoch))
        return self._order[1]
