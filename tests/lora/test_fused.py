"""The fused linear forward and backward against plain operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import lorafit.lora as lora
from lorafit.lora.fused import Geometry, lora_linear, plain_lora_linear

SLICES = [(True,), (True, False, True), (False, True), (True, True, True)]


def _tensors(geometry: Geometry, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x, weight, bias, lora_a, lora_b for r = 2, 4 -> 6 features, all wanting a gradient."""
    num_adapted, num_slices = sum(geometry.enabled), len(geometry.enabled)
    weight = (4, 6) if geometry.fan_in_fan_out else (6, 4)
    shapes = [(2, 3, 4), weight, (6,), (2 * num_adapted, 4), (6 // num_slices * num_adapted, 2)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("enabled", SLICES)
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
def test_first_and_second_derivatives(enabled, fan_in_fan_out):
    geometry = Geometry(enabled, 1.5, fan_in_fan_out)

    def fused(x, weight, bias, lora_a, lora_b):
        return lora_linear(x, (weight, bias), (lora_a, lora_b), geometry)

    tensors = _tensors(geometry, torch.float64)
    assert gradcheck(fused, tensors)
    assert gradgradcheck(fused, tensors)


@pytest.mark.parametrize("enabled", SLICES)
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_fused_equals_plain_in_value_and_every_gradient(enabled, fan_in_fan_out, dropout):
    geometry = Geometry(enabled, 1.5, fan_in_fan_out)
    tensors = _tensors(geometry, torch.float64)
    results = []
    for function in (lora_linear, plain_lora_linear):
        torch.manual_seed(5)  # from one seed both drop the same units
        x, weight, bias, lora_a, lora_b = tensors
        y = function(x, (weight, bias), (lora_a, lora_b), geometry, dropout)
        results.append([y, *torch.autograd.grad(y.sin().sum(), tensors)])
    torch.testing.assert_close(results[0], results[1])


def test_a_frozen_base_gets_no_gradient_and_costs_none(count_flops):
    layer = lora.Linear.from_base(nn.Linear(64, 64), r=1)
    x = torch.randn(32, 64)
    flops = count_flops(lambda: layer(x).sum().backward())
    assert layer.weight.grad is None
    assert layer.bias.grad is None
    # The base product once and six thin ones (two forward, four backward); none for the gradient of x.
    assert flops == 2 * 32 * 64 * 64 + 6 * 2 * 32 * 64


def test_a_base_that_trains_gets_its_gradient():
    layer, x = lora.Linear.from_base(nn.Linear(4, 6), r=2, init="paper-gpt2"), torch.randn(5, 4)
    layer.requires_grad_(True)
    layer(x).square().sum().backward()
    grad = 2 * layer(x).detach()
    torch.testing.assert_close(layer.weight.grad, grad.T @ x)
    torch.testing.assert_close(layer.bias.grad, grad.sum(0))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(use_reentrant):
    layer = lora.MergedLinear.from_base(
        nn.Linear(4, 6), r=2, lora_dropout=0.3, enable_lora=[True, False], init="paper-gpt2"
    )
    x = torch.randn(5, 4, requires_grad=True)
    grads = []
    for run in (layer, lambda x: checkpoint(layer, x, use_reentrant=use_reentrant)):
        torch.manual_seed(3)
        layer.zero_grad()
        x.grad = None
        run(x).square().sum().backward()
        grads.append([x.grad.clone(), layer.lora_A.grad.clone(), layer.lora_B.grad.clone()])
    assert all(torch.equal(plain, again) for plain, again in zip(*grads, strict=True))


def test_autocast_computes_in_16_bits_and_returns_float32_gradients():
    layer = lora.Linear.from_base(nn.Linear(16, 16), r=4, init="paper-gpt2")
    x = torch.randn(8, 16, requires_grad=True)
    expected = layer(x)
    expected_grads = torch.autograd.grad(expected.sum(), (x, layer.lora_A, layer.lora_B))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    grads = torch.autograd.grad(y.sum(), (x, layer.lora_A, layer.lora_B))
    assert y.dtype == torch.bfloat16
    assert all(grad.dtype == torch.float32 for grad in grads)
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(grads, expected_grads, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (3, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_any_number_of_leading_dimensions(shape):
    geometry = Geometry((True, False, True), 2.0, False)
    _, weight, bias, lora_a, lora_b = _tensors(geometry)
    x = torch.randn(shape)
    arguments = ((weight, bias), (lora_a, lora_b), geometry)
    torch.testing.assert_close(lora_linear(x, *arguments), plain_lora_linear(x, *arguments))


def test_inputs_and_gradients_that_are_not_contiguous():
    layer = lora.Linear.from_base(nn.Linear(4, 6), r=2, init="paper-gpt2")
    wide = torch.randn(3, 4, 5)
    x, packed = wide.transpose(1, 2), wide.transpose(1, 2).contiguous()
    weighting = torch.randn(6, 5, 3).permute(2, 1, 0)
    results = []
    for inputs in (x, packed):
        y = layer(inputs)
        results.append([y, *torch.autograd.grad(y, (layer.lora_A, layer.lora_B), weighting)])
    torch.testing.assert_close(results[0], results[1])


def test_torch_func_sees_through_it():
    layer, x = lora.Linear.from_base(nn.Linear(4, 6), r=2, init="paper-gpt2"), torch.randn(5, 4)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters):
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    grads = torch.func.grad(loss)(parameters)
    layer(x).square().sum().backward()
    torch.testing.assert_close(grads["lora_A"], layer.lora_A.grad)
    torch.testing.assert_close(grads["lora_B"], layer.lora_B.grad)
