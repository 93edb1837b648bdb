"""Does training do anything? After a few steps every tensor that trains must have moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from lorafit.errors import DivergedError

STEPS_TO_MOVE = 3  # lora_A has no gradient before lora_B has left zero, so one step is not enough
_SHOWN = 4


class Movement:
    """Remembers two sums of every trained tensor, and compares them after STEPS_TO_MOVE steps that had a learning rate.

    The first step of a warm-up has the rate 0 and moves nothing, so it does not count.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter]) -> None:
        """`trained` without those that may stay where they are: softmax does not see a key's bias."""
        self._trained = dict(trained)
        self._start = {name: _sums(p) for name, p in self._trained.items()}
        self.passed = False
        self._num_steps = 0
        self._learning_rates = 0.0

    def stepped(self, step: int, learning_rate: float) -> None:
        """To be called after every optimizer step. Raises DivergedError that names the tensors which did not move."""
        if learning_rate == 0 or self._num_steps == STEPS_TO_MOVE:
            return
        self._num_steps += 1
        self._learning_rates += learning_rate
        if self._num_steps == STEPS_TO_MOVE:
            self._check(step)
            self.passed = True
            self._trained, self._start = {}, {}

    def _check(self, step: int) -> None:
        still = [
            name
            for name, parameter in self._trained.items()
            if _sums(parameter) == self._start[name] and self._is_felt(parameter)
        ]
        if still:
            names = ", ".join([*still[:_SHOWN], *("…" for _ in still[_SHOWN : _SHOWN + 1])])
            raise DivergedError(
                f"step {step}: {len(still)} of {len(self._trained)} trained tensors have not moved: {names}; no "
                f"gradient reaches them, so nothing would be learned there"
            )

    def _is_felt(self, parameter: nn.Parameter) -> bool:
        """Whether steps of this size can be seen at all: an update below the last digit is rounded away."""
        with torch.no_grad():
            size = parameter.abs().mean().item()
        return self._learning_rates > 4 * torch.finfo(parameter.dtype).eps * size


@torch.no_grad()
def _sums(parameter: nn.Parameter) -> tuple[float, float]:
    """Sum and length: hardly any movement leaves both as they were, and no copy is kept."""
    return (
        parameter.sum(dtype=torch.float64).item(),
        torch.linalg.vector_norm(parameter, dtype=torch.float64).item(),
    )


@torch.no_grad()
def all_finite(trained: Iterable[nn.Parameter]) -> bool:
    """Whether no tensor holds a NaN or an infinity."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in trained)
