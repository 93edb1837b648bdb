"""The fused linear forward and backward against plain operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

import lorafit.lora as lora
from lorafit.lora.fused import Geometry, lora_linear, plain_lora_linear

PARTS = [  # (which are adapted, how wide each is)
    ((True,), (6,)),
    ((True, False, True), (2, 2, 2)),
    ((False, True), (3, 3)),
    ((True, True, True), (2, 2, 2)),
    ((True, True, True), (4, 1, 1)),
    ((True, False, True), (3, 1, 2)),
    ((False, True), (1, 5)),
]


def _tensors(geometry: Geometry, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x, weight, bias, lora_a, lora_b for r = 2, 4 -> 6 features, all wanting a gradient."""
    widths = [width for width, on in zip(geometry.parts, geometry.enabled, strict=True) if on]
    weight = (4, 6) if geometry.fan_in_fan_out else (6, 4)
    shapes = [(2, 3, 4), weight, (6,), (2 * len(widths), 4), (sum(widths), 2)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad.clone()


@pytest.mark.parametrize(("enabled", "parts"), PARTS)
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
def test_first_and_second_derivatives(enabled, parts, fan_in_fan_out):
    geometry = Geometry(enabled, parts, 1.5, fan_in_fan_out)

    def fused(x, weight, bias, lora_a, lora_b):
        return lora_linear(x, (weight, bias), (lora_a, lora_b), geometry)

    tensors = _tensors(geometry, torch.float64)
    assert gradcheck(fused, tensors)
    assert gradgradcheck(fused, tensors)


@pytest.mark.parametrize(("enabled", "parts"), PARTS)
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("has_draws", [False, True])
def test_fused_equals_plain_in_value_and_every_gradient(enabled, parts, fan_in_fan_out, dropout, has_draws):
    geometry = Geometry(enabled, parts, 1.5, fan_in_fan_out)
    tensors = _tensors(geometry, torch.float64)
    results = []
    for function in (lora_linear, plain_lora_linear):
        torch.manual_seed(5)  # from one seed both drop the same units
        draws = lora.Draws(5) if has_draws else None
        x, weight, bias, lora_a, lora_b = tensors
        y = function(x, (weight, bias), (lora_a, lora_b), geometry, dropout, draws)
        results.append([y, *torch.autograd.grad(y.sin().sum(), tensors)])
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(("enabled", "parts"), PARTS)
@pytest.mark.parametrize("fan_in_fan_out", [False, True])
def test_values_gradients_and_merge_are_those_of_a_dense_update(enabled, parts, fan_in_fan_out):
    """By the formula, part by part, in float64: W + scale * B_j A_j in the rows of the j-th adapted part."""
    base: nn.Linear | Conv1D = nn.Linear(4, 6).double()
    if fan_in_fan_out:
        base = Conv1D(6, 4).double()
        nn.init.normal_(base.bias)
    layer = lora.MergedLinear.from_base(
        base, r=2, lora_alpha=3, enable_lora=enabled, parts=parts, init="paper-gpt2", merge_weights=False
    )
    with torch.no_grad():
        layer.lora_A.mul_(30)
        layer.lora_B.mul_(30)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    rows, a_blocks, lora_b = [], iter(layer.lora_A.split(2)), layer.lora_B
    for on, width in zip(enabled, parts, strict=True):
        if on:
            block_b, lora_b = lora_b.split([width, len(lora_b) - width])
            rows.append(1.5 * block_b @ next(a_blocks))
        else:
            rows.append(torch.zeros(width, 4, dtype=torch.float64))
    delta = torch.cat(rows)
    weight = base.weight.T if fan_in_fan_out else base.weight
    expected = x @ (weight + delta).T + base.bias

    wanted = (x, layer.lora_A, layer.lora_B)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(
        torch.autograd.grad(layer(x).sin().sum(), wanted), torch.autograd.grad(expected.sin().sum(), wanted)
    )
    stored = delta.T if fan_in_fan_out else delta
    for start in range(len(stored)):
        for stop in range(start + 1, len(stored) + 1):
            torch.testing.assert_close(layer.delta_rows(start, stop), stored[start:stop])
    with layer.merged():
        torch.testing.assert_close(layer(x), expected)
    model = nn.Sequential(layer)
    lora.detach(model, merge=True)
    torch.testing.assert_close(model(x), expected)


def test_equal_parts_said_or_not_are_the_same_bit_for_bit():
    x, layers = torch.randn(5, 4, requires_grad=True), []
    base = nn.Linear(4, 6)
    for parts in (None, (2, 2, 2)):
        layers.append(
            lora.MergedLinear.from_base(
                base,
                r=2,
                enable_lora=[True, False, True],
                parts=parts,
                init="paper-gpt2",
                generator=torch.Generator().manual_seed(0),
            )
        )
    results = [
        (
            layer(x),
            *torch.autograd.grad(layer(x).sin().sum(), (x, layer.lora_A, layer.lora_B)),
            layer.delta_weight(),
        )
        for layer in layers
    ]
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_frozen_base_gets_no_gradient_and_costs_none(count_flops):
    layer = lora.Linear.from_base(nn.Linear(64, 64), r=1)
    x = torch.randn(32, 64)
    flops = count_flops(lambda: layer(x).sum().backward())
    assert layer.weight.grad is None
    assert layer.bias.grad is None
    # The base product once and five thin ones (two forward, three backward); none for the gradient of x.
    assert flops == 2 * 32 * 64 * 64 + 5 * 2 * 32 * 64


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
        grads.append([_gradient(leaf) for leaf in (x, layer.lora_A, layer.lora_B)])
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
    geometry = Geometry((True, False, True), (2, 2, 2), 2.0, False)
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
