"""How many optimizer steps a run has, and the learning rate of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: (
        0.5 * (1.0 - math.cos(math.pi * left))
    ),  # Loshchilov & Hutter 2017, without restarts
    "constant": lambda _: 1.0,
}
"""The share of the peak behind the warm-up, by the share of the steps that are left."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then a fall to 0 at `num_steps`, or none, as `shape` says. Steps are counted from 0."""

    num_steps: int
    num_warmup: int
    peak: float
    shape: str = "linear"  # of SHAPES

    def learning_rate(self, step: int) -> float:
        """The rate with which optimizer step `step` is made."""
        return self.peak * warmup_factor(
            step, num_warmup=self.num_warmup, num_steps=self.num_steps, shape=self.shape
        )


def warmup_factor(step: int, *, num_warmup: int, num_steps: int, shape: str = "linear") -> float:
    """t / w for t < w, else `shape` of (T - t) / (T - w); linear is the paper's optimizer.py."""
    if step < num_warmup:
        return step / num_warmup
    return SHAPES[shape](max(0.0, (num_steps - step) / max(1, num_steps - num_warmup)))


def count_steps(steps_per_epoch: int, epochs: float | None, max_steps: int | None) -> int:
    """Optimizer steps of the whole run: `epochs` worth of them, ended early by `max_steps`."""
    planned = math.ceil(steps_per_epoch * epochs) if epochs is not None else None
    if planned is None:
        assert max_steps is not None, "the recipe has epochs or max_steps"
        return max_steps
    return planned if max_steps is None else min(planned, max_steps)


def count_warmup(num_steps: int, warmup_steps: int | None, warmup_ratio: float | None) -> int:
    """Warm-up steps: as given, or the ratio of all steps rounded up (transformers' rule)."""
    if warmup_ratio is not None:
        return math.ceil(num_steps * warmup_ratio)
    return warmup_steps or 0
