"""Laws that hold for every kind of LoRA layer."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import lorafit.lora as lora
from lorafit.errors import RecipeError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_at_step_0_the_layer_equals_its_base_bit_for_bit(kind, dtype):
    base, x = kind.base().to(dtype), kind.input()
    x = x.to(dtype) if x.is_floating_point() else x
    layer = kind.layer.from_base(base, r=2, lora_alpha=16, lora_dropout=0.5, **kind.options)
    for training in (True, False):
        assert torch.equal(layer.train(training)(x), base(x))
    with torch.no_grad():
        assert torch.equal(layer(x), base(x))


def test_at_step_0_under_autocast_too(kind):
    base, x = kind.base(), kind.input()
    layer = kind.layer.from_base(base, r=2, **kind.options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = layer(x), base(x)
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


def test_from_base_takes_the_parameters_themselves(kind):
    base = kind.base()
    before = {name: p.clone() for name, p in base.named_parameters()}
    layer = kind.build(base)
    own = dict(layer.named_parameters())
    assert {id(p) for p in base.parameters()} == {id(p) for n, p in own.items() if "lora" not in n}
    assert all(torch.equal(p, before[name]) and not p.requires_grad for name, p in base.named_parameters())
    assert layer.lora_A.requires_grad
    assert layer.lora_B.requires_grad
    assert layer.to_base() is base


def test_the_update_is_delta_weight(kind):
    layer, x = kind.build().eval(), kind.input()
    layer.unmerge()
    as_dense = copy.deepcopy(layer.to_base())
    with torch.no_grad():
        as_dense.weight += layer.delta_weight()
    assert layer.delta_weight().shape == layer.weight.shape
    assert layer.delta_weight().is_contiguous()
    torch.testing.assert_close(layer(x), as_dense(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(layer(x), layer.to_base()(x), atol=1e-3)


def test_r_0_is_the_plain_layer(kind):
    base, x = kind.base(), kind.input()
    layer = kind.layer.from_base(base, r=0, **kind.options)
    assert {n.removeprefix("conv.") for n, _ in layer.named_parameters()} == set(
        dict(base.named_parameters())
    )
    assert all(p.requires_grad for p in layer.parameters())
    for training in (True, False):
        assert torch.equal(layer.train(training)(x), base(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_base_has_a_float32_adapter(kind, dtype):
    base, x = kind.base().to(dtype), kind.input()
    x = x.to(dtype) if x.is_floating_point() else x
    layer = kind.build(base, merge_weights=False)
    assert layer.lora_A.dtype == layer.lora_B.dtype == torch.float32
    y = layer(x)
    y.float().square().sum().backward()
    assert y.dtype == dtype
    assert layer.lora_A.grad.dtype == torch.float32
    assert layer.lora_A.grad.abs().sum() > 0
    reference = copy.deepcopy(layer).float()
    torch.testing.assert_close(
        y.float(), reference(x.float() if x.is_floating_point() else x), rtol=0.05, atol=0.1
    )
    with layer.merged():
        torch.testing.assert_close(layer(x), y, rtol=0.05, atol=0.1)


def test_pickle_and_deepcopy_keep_function_state_and_sharing(kind):
    layer, x = kind.build().eval(), kind.input()
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(buffer, weights_only=False),
    ):
        assert twin.merged
        assert torch.equal(twin(x), layer(x))
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in layer.parameters()}
        assert twin.to_base().weight is twin.weight
        nn.init.zeros_(twin.lora_B)  # must be seen in spite of the merged weight
        torch.testing.assert_close(twin(x), layer.to_base()(x))


@pytest.mark.parametrize("merge", [False, True])
def test_torch_compile_of_the_whole_layer(kind, merge):
    layer, x = kind.build(lora_dropout=0.0, merge_weights=merge), kind.input()
    layer.eval()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    y = compiled(x)
    torch.testing.assert_close(y, layer(x), rtol=1e-5, atol=1e-5)
    if not merge:
        y.square().sum().backward()
        compiled_grad = layer.lora_A.grad.clone()
        layer.lora_A.grad = None
        layer(x).square().sum().backward()
        torch.testing.assert_close(compiled_grad, layer.lora_A.grad, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


def test_dropout_touches_the_update_only_and_only_in_training(kind):
    layer, x = kind.build(lora_dropout=0.5, merge_weights=False), kind.input()
    assert not torch.equal(layer(x), layer(x))
    expected, base = layer.eval()(x), layer.to_base()(x)
    layer.train()
    with torch.no_grad():
        mean = torch.stack([layer(x) for _ in range(600)]).mean(0)
        spread = (expected - base).abs().amax()
        assert (mean - expected).abs().amax() < 0.35 * spread
        layer.lora_dropout.p = 1.0
        assert torch.equal(layer(x), base)


@pytest.mark.parametrize("init", lora.INITS)
def test_an_init_with_a_generator_depends_on_its_seed_alone(kind, init):
    def fresh(seed: int, dtype: torch.dtype = torch.float32) -> lora.LoRALayer:
        generator = torch.Generator().manual_seed(seed)
        return kind.layer.from_base(
            kind.base().to(dtype), r=2, init=init, generator=generator, **kind.options
        )

    state = torch.get_rng_state()
    base_a = fresh(1)
    for twin in (fresh(1), fresh(1, torch.bfloat16)):
        assert torch.equal(twin.lora_A, base_a.lora_A)
        assert torch.equal(twin.lora_B, base_a.lora_B)
    other = fresh(2)
    assert not (torch.equal(other.lora_A, base_a.lora_A) and torch.equal(other.lora_B, base_a.lora_B))
    torch.set_rng_state(state)
    layer = kind.build()
    state = torch.get_rng_state()
    layer.reset_lora_parameters(init, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_inits_have_the_published_spreads():
    layer = lora.Linear.from_base(nn.Linear(400, 500), r=64, init="paper-gpt2")
    assert layer.lora_A.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.lora_B.std().item() == pytest.approx(0.02, rel=0.05)
    layer.reset_lora_parameters("gaussian")
    assert layer.lora_A.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.lora_B.any()
    layer.reset_lora_parameters("loralib")
    assert layer.lora_A.abs().max().item() == pytest.approx(1 / 20, rel=0.01)  # sqrt(1 / fan_in)
    with pytest.raises(RecipeError, match=r"init 'loralb' is not known .*did you mean 'loralib'"):
        layer.reset_lora_parameters("loralb")


def test_conv1d_is_computed_as_hugging_face_computes_it():
    base = Conv1D(48, 16)
    nn.init.normal_(base.bias)
    layer = lora.MergedLinear.from_base(base, r=4, enable_lora=[True, False, True])
    for shape in [(16,), (3, 16), (2, 7, 16), (0, 16), (2, 3, 4, 16)]:
        x = torch.randn(shape)
        assert torch.equal(layer(x), base(x))


def test_from_base_refuses_what_it_cannot_stand_in_for():
    class Scaled(nn.Embedding):
        def forward(self, x):
            return super().forward(x) * 3

    attention = nn.MultiheadAttention(4, 2)
    refused: list[tuple[type[lora.LoRALayer], nn.Module]] = [
        (lora.Embedding, Scaled(3, 4)),
        (lora.Linear, nn.Embedding(3, 4)),
        (lora.Linear, attention.out_proj),
        (lora.Linear, lora.Linear(4, 4, r=1)),
        (lora.Conv2d, nn.ConvTranspose2d(1, 1, 2)),
    ]
    for layer, module in refused:
        with pytest.raises(TypeError, match=r"lora\.\w+ cannot stand in for \w+"):
            layer.from_base(module, r=1)


def test_bad_numbers_are_refused():
    for options in ({"r": -1}, {"r": 1, "lora_dropout": 1.5}):
        with pytest.raises(ValueError, match="r must be at least 0"):
            lora.Linear(3, 3, **options)
    with pytest.raises(ValueError, match="2 slices do not divide 3"):
        lora.MergedLinear(3, 3, r=1, enable_lora=[True, False])
    with pytest.raises(ValueError, match="loralib has no layout for a kernel of \\(3, 2\\)"):
        lora.Conv2d(3, 3, (3, 2), r=1, layout="loralib")
