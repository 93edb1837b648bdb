"""The fused activation is the same function."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import NewGELUActivation

from lorafit.models import fuse_activations


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
