"""Whether an architecture reads the stretches of several members as it reads each alone: tried, not believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lorafit.lora import Members
from lorafit.models import Model
from lorafit.objectives import AnyObjective
from lorafit.training import Member

_NUM_EXAMPLES = 2  # of each member
_TOLERANCE = {torch.float32: 1e-4}  # relative; sums of a long product may be rounded otherwise
_TOLERANCE_OF_HALF = 5e-2


def is_proven_equal(
    model: Model, objective: AnyObjective, family: Members, members: Sequence[Member[Any]]
) -> bool:
    """Whether each member's loss in one row is what it is alone, with adapters that are random for the time being."""
    parts = [list(member.steps.examples[:_NUM_EXAMPLES]) for member in members]
    tolerance = _TOLERANCE.get(model.placement.dtype, _TOLERANCE_OF_HALF)
    with _random_values(members), torch.no_grad(), model.placement.autocast():
        alone = []
        for number, part in enumerate(parts):
            with family.alone(number):
                model.net.eval()
                alone.append(objective.loss_sums(model, objective.collate([part]), [0.0]))
        with family.together():
            model.net.eval()
            try:
                sums = objective.loss_sums(model, objective.collate(parts), [0.0] * len(parts))
            except (RuntimeError, ValueError, TypeError, IndexError):  # of whatever does not lie by tokens
                return False
    return torch.allclose(sums, torch.cat(alone).to(sums.dtype), rtol=tolerance)


@contextmanager
def _random_values(members: Sequence[Member[Any]]) -> Iterator[None]:
    """Inside the block every trained tensor is random, so that each member gives answers of its own."""
    kept = [[p.detach().clone() for p in member.parameters] for member in members]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for member in members:
            for parameter in member.parameters:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    try:
        yield
    finally:
        with torch.no_grad():
            for member, values in zip(members, kept, strict=True):
                for parameter, value in zip(member.parameters, values, strict=True):
                    parameter.copy_(value)
