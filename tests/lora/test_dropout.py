"""Cheap dropout is dropout: the right share, the right mean, the same mask back, and torch's generator decides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lorafit.lora.dropout import Dropout, cheapen_dropouts, dropout


@pytest.mark.parametrize("p", [0.1, 0.15, 0.5, 0.9])
def test_share_and_scale(p: float) -> None:
    torch.manual_seed(0)
    out = dropout(torch.ones(200_001), p)
    kept = out != 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.005)
    assert out[kept].unique().numel() == 1
    assert out.max().item() == pytest.approx(1 / (1 - p), rel=2e-4)


def test_neighbours_are_independent() -> None:
    torch.manual_seed(0)
    dropped = (dropout(torch.ones(400_000), 0.5) == 0).float().view(-1, 4) - 0.5
    assert (dropped.T @ dropped / len(dropped)).fill_diagonal_(0).abs().max() < 0.005


def test_the_gradient_has_the_mask_of_the_output() -> None:
    x = torch.randn(7, 5, requires_grad=True)
    out = dropout(x, 0.3)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_the_default_generator_decides() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout(torch.ones(64), 0.5)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_the_ends_and_evaluation() -> None:
    x = torch.randn(9)
    assert torch.equal(dropout(x, 0.0), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros(9))
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).eval()
    cheapen_dropouts(net)
    assert isinstance(net[1], Dropout)
    assert net[1].p == 0.5
    assert torch.equal(net[1](x), x)
