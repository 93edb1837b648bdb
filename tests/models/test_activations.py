"""The fused activation is the same function."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import GELUTanh, NewGELUActivation

from lorafit.models import activations, fuse_activations
from lorafit.models.activations import TanhGELU


def test_same_function_same_gradient() -> None:
    torch.manual_seed(0)
    net = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50)).eval()
    ids = torch.arange(20)[None]
    before = net(ids).logits
    expected = torch.autograd.grad(before.square().sum(), net.transformer.wte.weight)[0]
    fuse_activations(net)
    assert not any(isinstance(module, NewGELUActivation) for module in net.modules())
    after = net(ids).logits
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(after.square().sum(), net.transformer.wte.weight)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_kernel_and_the_formula() -> None:
    x = torch.linspace(-10, 10, 10_001)
    error = (NewGELUActivation()(x) - torch.nn.functional.gelu(x, approximate="tanh")).abs().max()
    assert error < 1e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_block_by_block_it_is_the_same_function(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float
) -> None:
    monkeypatch.setattr(activations, "_BLOCK", 64)
    x = torch.linspace(-30, 30, 7 * 143, dtype=torch.float64).view(7, 143).T.to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    expected = torch.nn.functional.gelu(exact, approximate="tanh")
    found = activations.FusedGELU.apply(x)
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    (ours,), (theirs,) = torch.autograd.grad(found.sum(), x), torch.autograd.grad(expected.sum(), exact)
    torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


def test_in_bfloat16_it_is_as_exact_as_torchs_kernel() -> None:
    x = torch.linspace(-10, 10, 10_001).bfloat16().requires_grad_()
    exact = x.detach().double().requires_grad_()
    errors = []
    for y in (torch.nn.functional.gelu(x, approximate="tanh"), TanhGELU()(x)):
        expected = torch.nn.functional.gelu(exact, approximate="tanh")
        slopes, wanted = torch.autograd.grad(y.sum(), x)[0], torch.autograd.grad(expected.sum(), exact)[0]
        errors.append([(y - expected).abs().max().item(), (slopes - wanted).abs().max().item()])
    kernel, ours = errors
    assert ours[0] <= kernel[0] + 1e-6
    assert ours[1] <= kernel[1] + 1e-6


def test_gemmas_activation_is_fused_too_and_keeps_its_bits() -> None:
    net = nn.Sequential(nn.Linear(4, 4), GELUTanh())
    x = torch.randn(3, 4)
    before = net(x)
    fuse_activations(net)
    assert type(net[1]) is TanhGELU
    assert torch.equal(net(x), before)
