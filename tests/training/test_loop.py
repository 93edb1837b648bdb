"""The loop: micro-batches change nothing, the schedule is the paper's, divergence stops before the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
import torch
from torch import nn
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lorafit.recipe import TrainSection
from lorafit.training import (
    AdamW,
    EpochEnded,
    Failed,
    Member,
    Position,
    ProcessGroup,
    Schedule,
    Stepped,
    Steps,
    count_steps,
    count_warmup,
    fit,
    parameter_groups,
    warmup_factor,
)
from lorafit.training.schedule import SHAPES


class Points:
    """A micro-batch of a regression: x [n, 3] and y [n]."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    @property
    def num_targets(self) -> tuple[int, ...]:
        return (len(self.y),)

    @property
    def target_weights(self) -> tuple[int, ...]:
        return (len(self.y),)

    @property
    def num_tokens(self) -> tuple[int, ...]:
        return (self.x.numel(),)

    @property
    def num_places(self) -> int:
        return self.x.numel()


class Regression:
    """The squared error of a linear map."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def collate(self, parts: Sequence[Sequence[int]]) -> Points:
        [rows] = parts
        return Points(self.x[list(rows)], self.y[list(rows)])

    def loss_sums(self, net: nn.Linear, batch: Points, label_smoothing: Sequence[float]) -> torch.Tensor:
        assert label_smoothing == [0.0]
        return ((net(batch.x).squeeze(1) - batch.y) ** 2).sum()[None]


def train(
    micro_batch_size: int | None = None,
    *,
    steps: int = 6,
    max_grad_norm: float = 0.0,
    x_scale: float = 1.0,
    y_scale: float = 1.0,
):
    """Events and final weights; two steps of six points an epoch."""
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    x = x_scale * torch.randn(6, 3)
    y = y_scale * (x @ torch.tensor([1.0, -2.0, 0.5]))
    member = Member(
        dict(net.named_parameters()),
        AdamW(net.parameters(), lr=0.1),
        Schedule(steps, 2, 0.1),
        Steps(lambda _: [range(6)] * 2, range(6), steps),
        Position(micro_batch_size=micro_batch_size),
        max_grad_norm,
    )
    events = fit(net, [member], Regression(x, y), ProcessGroup())
    return list(events), net


@pytest.mark.parametrize("micro_batch_size", [1, 4, 7])
def test_micro_batches_change_nothing(micro_batch_size: int) -> None:
    whole, whole_net = train()
    parts, parts_net = train(micro_batch_size)
    losses = [[event.loss for event in events if isinstance(event, Stepped)] for events in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(whole_net.weight, parts_net.weight, rtol=1e-5, atol=1e-6)


def test_what_happens_when() -> None:
    events, _ = train(steps=5)
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Stepped", "Stepped", "EpochEnded"] * 2 + ["Stepped", "EpochEnded"]
    assert [event.epoch for event in events if isinstance(event, EpochEnded)] == [1, 2, 3]
    rates = [event.learning_rate for event in events if isinstance(event, Stepped)]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.1 * 2 / 3, 0.1 / 3])


def test_what_the_optimizer_holds_is_let_go_behind_the_last_epoch() -> None:
    net = nn.Linear(3, 1)
    steps = Steps(lambda _: [range(6)] * 2, range(6), 4)
    member = Member(dict(net.named_parameters()), AdamW(net.parameters(), lr=0.1), Schedule(4, 0, 0.1), steps)
    x = torch.randn(6, 3)
    held = [
        len(member.optimizer.state)
        for event in fit(net, [member], Regression(x, x.sum(1, keepdim=True)), ProcessGroup())
        if isinstance(event, EpochEnded)
    ]
    assert held == [2, 2]  # a checkpoint of the end has it
    assert not member.optimizer.state


def test_clipping_bounds_the_gradient() -> None:
    _, free = train(steps=3)
    _, clipped = train(steps=3, max_grad_norm=1e-6)
    assert not torch.equal(free.weight, clipped.weight)


def test_divergence_stops_before_the_update() -> None:
    [event], net = train(y_scale=1e38)
    assert isinstance(event, Failed)
    assert event.error.message == "step 1: the loss is inf"
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())


def test_a_gradient_that_is_no_number_stops_before_the_update() -> None:
    """Although the loss is a number."""
    [event], net = train(x_scale=1e18)
    assert isinstance(event, Failed)
    assert event.error.message == "step 1: the norm of the gradient is inf"
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())


def test_the_papers_schedule() -> None:
    factors = [warmup_factor(t, num_warmup=500, num_steps=26_290) for t in (0, 250, 500, 13_395, 26_289)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, (26_290 - 13_395) / 25_790, 1 / 25_790])


def test_counting_steps() -> None:
    assert count_steps(5258, 5, None) == 26_290
    assert count_steps(10, 2.5, None) == 25
    assert count_steps(10, 3, 7) == 7
    assert count_steps(10, None, 70) == 70
    assert count_warmup(101, None, 0.06) == 7
    assert count_warmup(101, 5, None) == 5


def test_adamw_by_its_formula() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = AdamW([parameter], lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.5)
    p, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 4):
        grads = [0.3 * step, -0.01]
        parameter.grad = torch.tensor(grads)
        optimizer.step()
        for i, g in enumerate(grads):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.99 * v[i] + 0.01 * g * g
            size = 0.1 * math.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            p[i] -= size * m[i] / (math.sqrt(v[i]) + 1e-3)
            p[i] -= 0.1 * 0.5 * p[i]
        assert parameter.tolist() == pytest.approx(p, rel=1e-5)


def test_what_is_exempt_from_decay() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    trained = dict(net.named_parameters())
    everything = parameter_groups(trained, net, 0.1, "none")
    assert [group["weight_decay"] for group in everything] == [0.1]
    decayed, spared = parameter_groups(trained, net, 0.1, "bias_and_norm")
    assert [p is net[0].weight for p in decayed["params"]] == [True]
    assert len(spared["params"]) == 3
    assert spared["weight_decay"] == 0.0


def test_the_norm_of_the_gradient_is_told_as_it_was_before_clipping() -> None:
    free, clipped = (
        [event for event in train(max_grad_norm=most)[0] if isinstance(event, Stepped)]
        for most in (0.0, 1e-3)
    )
    assert free[0].grad_norm == clipped[0].grad_norm > 1e-3
    torch.manual_seed(0)
    net, x = nn.Linear(3, 1), torch.randn(6, 3)
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    ((net(x).squeeze(1) - y) ** 2).mean().backward()
    expected = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).norm().item()
    assert free[0].grad_norm == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "theirs"),
    [
        ("linear", get_linear_schedule_with_warmup),
        ("cosine", get_cosine_schedule_with_warmup),
        ("constant", get_constant_schedule_with_warmup),
    ],
)
def test_a_schedule_is_that_of_transformers(shape: str, theirs: Callable[..., Any]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    length = () if shape == "constant" else (20,)
    expected = theirs(optimizer, 4, *length)
    ours = Schedule(20, 4, 0.1, shape)
    for step in range(20):
        assert ours.learning_rate(step) == pytest.approx(expected.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        expected.step()


def test_every_shape_of_a_schedule_can_be_named_in_a_recipe() -> None:
    [named] = [field for name, field in TrainSection.model_fields.items() if name == "schedule"]
    assert set(get_args(named.annotation)) == set(SHAPES)
