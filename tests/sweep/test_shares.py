"""Which process trains which runs: each about as many, of every kind, and no run twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from typing_extensions import override

from lorafit.run.plan import Plan
from lorafit.sweep.groups import shared_out
from lorafit.training import ProcessGroup
from tests.sweep.conftest import Families


@dataclass(frozen=True)
class OneOfSeveral(ProcessGroup):
    """A process that has no need to speak with the others, as long as there are not more than parts."""

    @override
    def split(self, num_parts: int) -> tuple[int, ProcessGroup]:
        assert num_parts == self.size
        return self.rank, ProcessGroup()


def members_of(plans: list[Plan], size: int) -> list[list[int]]:
    """The runs of each process."""
    ranks = [OneOfSeveral(rank=rank, size=size) for rank in range(size)]
    return [[n for each, _ in shared_out(plans, rank) for n in each.members] for rank in ranks]


def planned(families: Families, *axes: tuple[str, tuple[Any, ...]]) -> list[Plan]:
    """Every combination, the last axis fastest."""
    changes: list[dict[str, Any]] = [{}]
    for key, values in axes:
        changes = [{**each, key: value} for each in changes for value in values]
    return [families.plan(each) for each in changes]


@pytest.mark.parametrize(
    "axes",
    [
        [("train.learning_rate", (1e-3, 10.0)), ("train.seed", (0, 1))],
        [("method.r", (2, 4)), ("train.learning_rate", (1e-3, 10.0))],
        [("train.epochs", (1, 3)), ("train.seed", (0, 1))],
    ],
)
def test_values_that_cost_more_or_less_fall_to_every_process(
    texts: Callable[..., Families], axes: list[tuple[str, tuple[Any, ...]]]
) -> None:
    plans = planned(texts(), *axes)
    found = members_of(plans, 2)
    assert sorted([*found[0], *found[1]]) == [0, 1, 2, 3]
    for numbers in found:
        sections = [plans[number].recipe.train for number in numbers]
        assert len({(section.learning_rate, section.epochs) for section in sections}) == 2


def test_runs_that_have_a_base_each_fall_to_a_process_each(texts: Callable[..., Families]) -> None:
    plans = planned(texts(), ("data.max_length", (32, 48, 64)))
    assert sorted(members_of(plans, 3)) == [[0], [1], [2]]
