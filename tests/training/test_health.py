"""A tensor that does not move is named; one that may stay, or moves too little to see, is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lorafit import lora
from lorafit.errors import DivergedError
from lorafit.training import AdamW, Movement, Schedule, all_finite


def train(model: nn.Module, trained: dict[str, nn.Parameter], movement: Movement, rates: list[float]) -> None:
    optimizer = AdamW(list(trained.values()), lr=0.0)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    for step, rate in enumerate(rates, start=1):
        optimizer.param_groups[0]["lr"] = rate
        model(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        movement.stepped(step, rate)


def lora_model() -> tuple[nn.Module, dict[str, nn.Parameter]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4))
    lora.attach(model, [lora.Site("0")], r=2, alpha=4)
    return model, {n: p for n, p in model.named_parameters() if p.requires_grad}


def test_lora_moves_within_three_steps_after_a_warm_up_from_zero() -> None:
    model, trained = lora_model()
    start = {name: p.detach().clone() for name, p in trained.items()}
    movement = Movement(trained)
    rates = Schedule(num_steps=10, num_warmup=4, peak=0.01)
    train(model, trained, movement, [rates.learning_rate(step) for step in range(4)])
    assert movement.passed
    assert all((p != start[name]).any() for name, p in trained.items())


def test_the_step_without_learning_rate_does_not_count() -> None:
    model, trained = lora_model()
    movement = Movement(trained)
    train(model, trained, movement, [0.0, 0.01, 0.01])
    assert not movement.passed
    train(model, trained, movement, [0.01])
    assert movement.passed


def test_a_tensor_that_no_gradient_reaches_is_named() -> None:
    model, trained = lora_model()
    trained["adrift.lora_A"] = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(
        DivergedError, match=r"step 3: 1 of 3 trained tensors have not moved: adrift\.lora_A"
    ) as caught:
        train(model, trained, Movement(trained), [0.01] * 3)
    assert caught.value.exit_code == 5


def test_a_zero_lora_a_beside_a_zero_lora_b_never_moves() -> None:
    model, trained = lora_model()
    with torch.no_grad():
        trained["0.lora_A"].zero_()
    with pytest.raises(DivergedError, match="2 of 2 trained tensors"):
        train(model, trained, Movement(trained), [0.01] * 3)


def test_invisible_steps_are_no_fault() -> None:
    trained = {"norm.weight": nn.Parameter(torch.ones(2))}
    movement = Movement(trained)
    for step in (1, 2, 3):
        movement.stepped(step, 1e-9)  # an update of this size is lost beside 1
    assert movement.passed


def test_finite() -> None:
    good, bad = nn.Parameter(torch.ones(2)), nn.Parameter(torch.tensor([1.0, float("nan")]))
    assert all_finite([good])
    assert not all_finite([good, bad])
