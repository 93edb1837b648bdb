"""Dropout from a source: the right share, the right mean, the same mask back, and the source decides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from lorafit.lora.draws import Draws
from lorafit.lora.dropout import Dropout, dropout, keep_share
from lorafit.lora.members import MemberDraws, Shares


@pytest.mark.parametrize("p", [0.1, 0.15, 0.5, 0.9])
def test_share_and_scale(p: float) -> None:
    out = dropout(torch.ones(200_001), p, Draws(0))
    kept = out != 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.005)
    assert out[kept].unique().numel() == 1
    assert out.max().item() == pytest.approx(1 / keep_share(p))
    assert keep_share(p) == pytest.approx(1 - p, abs=1e-5)


def test_neighbours_are_independent() -> None:
    dropped = (dropout(torch.ones(400_000), 0.5, Draws(0)) == 0).float().view(-1, 4) - 0.5
    assert (dropped.T @ dropped / len(dropped)).fill_diagonal_(0).abs().max() < 0.005


def test_the_gradient_has_the_mask_of_the_output() -> None:
    x = torch.randn(7, 5, requires_grad=True)
    out = dropout(x, 0.3, Draws(0))
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_first_and_second_derivatives() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def same_mask(x: Tensor) -> Tensor:
        return dropout(x, 0.4, Draws(0)).sin()

    assert gradcheck(same_mask, [x])
    assert gradgradcheck(same_mask, [x])


def test_an_input_that_is_not_contiguous() -> None:
    x = torch.randn(5, 7).T
    assert torch.equal(dropout(x, 0.5, Draws(0)), dropout(x.contiguous(), 0.5, Draws(0)))


def test_without_a_source_it_is_torchs() -> None:
    x, module = torch.ones(64), Dropout(0.5)
    torch.manual_seed(1)
    theirs = nn.functional.dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(module(x), theirs)


def test_members_of_a_row_have_masks_of_their_own() -> None:
    draws = MemberDraws(Shares((1, 0, 2), (2, 0, 4)))
    draws.members = [Draws(1), Draws(2), Draws(3)]
    alone = {1: Draws(1), 3: Draws(3)}
    for x, stretches in (
        (torch.randn(1, 6, 9), (slice(2), slice(2, 6))),  # tokens
        (torch.randn(3, 9), (slice(1), slice(1, 3))),  # examples
    ):
        module, rows = Dropout(0.5), x.view(-1, 9)
        module.draws = draws
        masked = module(x).view(-1, 9)
        for place, seed in zip(stretches, (1, 3), strict=True):
            assert torch.equal(masked[place], dropout(rows[place], 0.5, alone[seed]))


def test_the_ends_and_evaluation() -> None:
    x = torch.randn(9)
    assert torch.equal(dropout(x, 0.0, Draws(0)), x)
    for p in (1.0, 1 - 1e-6):  # the latter is 1 in 16 bits
        assert not dropout(x, p, Draws(0)).any()
    module = Dropout(0.5).eval()
    module.draws = Draws(0)
    assert torch.equal(module(x), x)
    assert dropout(x.to("meta"), 0.5, Draws(0)).is_meta
