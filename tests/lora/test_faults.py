"""loralib's known faults, one test each: what must hold instead.

1-8    merging and modules      9-13   linear layers      14-19  convolutions
20-22  embeddings and inits     23-28  state, biases, gradient checkpointing
"""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.checkpoint import checkpoint

import lorafit.lora as lora


def test_fault_01_state_dict_in_eval_mode_is_not_applied_twice(kind):
    layer, fresh, x = kind.build().eval(), kind.build(), kind.input()
    fresh.load_state_dict(layer.state_dict())
    torch.testing.assert_close(fresh.eval()(x), layer(x))
    torch.testing.assert_close(fresh.train()(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("assign", [False, True])
def test_fault_02_loading_while_merged_takes_effect_and_spares_the_base(kind, assign):
    layer, other, x = kind.build().eval(), kind.build(), kind.input()
    state = copy.deepcopy(other.state_dict())
    layer.load_state_dict(state, assign=assign)
    torch.testing.assert_close(layer(x), other(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, state[name]) for name, value in layer.train().state_dict().items())


def test_fault_03_changing_the_adapter_while_merged_spares_the_base_and_takes_effect(kind):
    layer, x = kind.build(), kind.input()
    weight = layer.weight.clone()
    layer(x).square().sum().backward()
    layer.eval()
    before = layer(x)
    torch.optim.SGD([layer.lora_A, layer.lora_B], lr=1e-2).step()
    after = layer(x)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(layer.train()(x), after, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fault_04_a_thousand_merges_do_not_drift(dtype):
    layer = lora.Linear.from_base(nn.Linear(16, 16).to(dtype), r=4, init="paper-gpt2")
    weight = layer.weight.clone()
    for _ in range(1000):
        layer.eval().train()
    assert torch.equal(layer.weight, weight)


def test_fault_05_train_and_eval_return_the_layer(kind):
    layer = kind.build()
    assert layer.eval() is layer
    assert layer.train() is layer


def test_fault_06_layers_can_be_pickled(kind):
    layer, x = kind.build(), kind.input()
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))


def test_fault_07_half_precision_bases_work_with_float32_adapters():
    layer = lora.Linear(8, 8, r=2).half()
    layer.lora_A.data, layer.lora_B.data = layer.lora_A.data.float(), layer.lora_B.data.float()
    layer(torch.randn(3, 8).half()).sum().backward()
    assert layer.lora_B.grad is not None
    assert layer.lora_B.grad.dtype == torch.float32


def test_fault_08_pretrained_weights_survive(kind):
    base = kind.base()
    weight = base.weight.clone()
    assert torch.equal(kind.build(base).weight, weight)
    table = torch.randn(3, 2)
    assert torch.equal(lora.Embedding(3, 2, r=1, _weight=table.clone()).weight, table)


def test_fault_09_fan_in_fan_out_is_contiguous_and_drawn_with_the_right_fan(tmp_path):
    layer = lora.Linear(4, 900, r=2, fan_in_fan_out=True)
    assert layer.weight.shape == (4, 900)
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    assert torch.equal(load_file(tmp_path / "layer.safetensors")["weight"], layer.weight)
    for _ in range(2):
        assert layer.weight.abs().max().item() == pytest.approx(0.5, rel=0.02)  # 1 / sqrt(fan_in)
        layer.reset_parameters()


def test_fault_10_no_slice_enabled_is_a_plain_layer():
    layer, x = lora.MergedLinear(4, 6, r=2), torch.randn(3, 4)
    assert not layer.has_adapter
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert torch.equal(layer.eval()(x), layer.train()(x))


def test_fault_11_merged_linear_builds_no_dense_update(count_flops):
    base = nn.Linear(1024, 3072)
    layer = lora.MergedLinear.from_base(base, r=4, enable_lora=[True, False, True])
    x = torch.randn(256, 1024, requires_grad=True)
    forward = count_flops(lambda: layer(x)) / count_flops(lambda: base(x))
    assert 1.0 < forward <= 1.02
    both = count_flops(lambda: layer(x).sum().backward()) / count_flops(lambda: base(x).sum().backward())
    assert 1.0 < both <= 1.02
    layer.eval()
    assert count_flops(lambda: layer(x)) == count_flops(lambda: base(x))


def test_fault_12_every_tensor_moves_with_the_layer(kind):
    for layer in (kind.build(), kind.build().eval()):
        layer.to("meta")
        assert layer(kind.input().to("meta")).is_meta
        assert all(t.is_meta for t in vars(layer).values() if isinstance(t, torch.Tensor))


def test_fault_13_enable_lora_is_checked_and_belongs_to_the_layer():
    mine = [True, False]
    layer = lora.MergedLinear(4, 6, r=2, enable_lora=mine)
    mine[1] = True
    assert layer.enable_lora == [True, False]
    assert lora.MergedLinear(4, 6).enable_lora is not lora.MergedLinear(4, 6).enable_lora
    with pytest.raises(ValueError, match="0 slices do not divide"):
        lora.MergedLinear(4, 6, r=2, enable_lora=[])


@pytest.mark.parametrize(("kind_of_conv", "size"), [(lora.Conv1d, (9,)), (lora.Conv3d, (4, 5, 6))])
def test_fault_14_conv1d_and_conv3d_have_kernels_of_any_size(kind_of_conv, size):
    layer = kind_of_conv(4, 6, 3, r=2)
    layer.reset_lora_parameters("paper-gpt2")
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(layer.train()(x), layer.eval()(x))
    assert layer.delta_weight().any()


def test_fault_15_kernels_need_not_be_square():
    layer, x = lora.Conv2d(4, 6, (1, 3), r=2, padding=(0, 1)), torch.randn(2, 4, 5, 6)
    layer.reset_lora_parameters("paper-gpt2")
    torch.testing.assert_close(layer(x), layer.eval()(x))
    assert lora.Conv2d(4, 6, (3, 3), r=2).lora_A.shape == lora.Conv2d(4, 6, 3, r=2).lora_A.shape


@pytest.mark.parametrize("layout", ["loralib", "per_group"])
def test_fault_16_convolutions_apply_dropout(layout):
    layer, x = lora.Conv2d(4, 6, 3, r=2, lora_dropout=0.9, layout=layout), torch.randn(2, 4, 5, 5)
    layer.reset_lora_parameters("paper-gpt2")
    assert torch.stack([layer(x) for _ in range(5)]).std(0).max() > 0


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_fault_17_a_convolution_has_the_rank_asked_for_in_each_group(groups):
    layer = lora.Conv2d.from_base(nn.Conv2d(16, 24, 3, groups=groups), r=2, lora_alpha=6, init="paper-gpt2")
    for update in layer.delta_weight().view(groups, 24 // groups, -1):
        assert torch.linalg.matrix_rank(update, rtol=1e-4) == 2
    assert layer.scaling == 3


def test_fault_18_parameters_are_registered_once_and_both_spellings_load(tmp_path):
    layer, plain = lora.Conv2d(3, 4, 3, r=2), nn.Conv2d(3, 4, 3)
    assert set(layer.state_dict()) == {"conv.weight", "conv.bias", "lora_A", "lora_B"}
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    missing = layer.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["lora_A", "lora_B"]
    assert missing.unexpected_keys == []
    assert torch.equal(layer.weight, plain.weight)
    twice = layer.state_dict() | dict(plain.state_dict())
    assert layer.load_state_dict(twice, assign=True).missing_keys == []
    assert layer.conv.bias is not None
    assert plain.bias is not None
    assert torch.equal(layer.conv.bias, plain.bias)


def test_fault_19_both_factors_know_of_the_groups():
    layer = lora.Conv2d(8, 12, 3, r=2, groups=4, layout="per_group")
    assert layer.lora_A.shape == (4 * 2, 8 // 4 * 9)
    assert layer.lora_B.shape == (12, 2)


@pytest.mark.parametrize("option", [{"max_norm": 0.1}, {"sparse": True}, {"scale_grad_by_freq": True}])
def test_fault_20_options_of_the_base_table_leave_the_adapter_alone(option):
    base, tokens = nn.Embedding(7, 4, **option), torch.tensor([1, 1, 5])
    layer = lora.Embedding.from_base(base, r=2, lora_alpha=2, init="paper-gpt2")
    layer.lora_A.data.mul_(1000)
    lora_a = layer.lora_A.detach().clone()
    layer(tokens).sum().backward()
    assert torch.equal(layer.lora_A, lora_a)
    expected = torch.zeros(7).index_add_(0, tokens, torch.ones(3)) * layer.lora_B.detach().sum(0)[:, None]
    torch.testing.assert_close(layer.lora_A.grad, expected)


def test_fault_21_the_padding_token_stays_zero():
    layer = lora.Embedding(5, 4, r=2, padding_idx=3)
    nn.init.normal_(layer.lora_A)
    assert not layer(torch.tensor([3])).any()
    assert not layer.eval()(torch.tensor([3])).any()
    assert layer(torch.tensor([2])).any()


def test_fault_22_inits_are_what_they_are_said_to_be():
    for layer, starts_at_zero in [(lora.Linear(4, 6, r=2), "lora_B"), (lora.Embedding(4, 6, r=2), "lora_A")]:
        drawn = {"lora_A", "lora_B"} - {starts_at_zero}
        assert not getattr(layer, starts_at_zero).any()
        assert getattr(layer, drawn.pop()).all()
        assert not layer.delta_weight().any()


def test_fault_23_names_do_not_make_an_adapter():
    model = nn.ModuleDict({"lora_head": nn.Linear(4, 2), "body": lora.Linear(4, 4, r=2)})
    lora.mark_only_lora_as_trainable(model)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {"body.lora_A", "body.lora_B"}
    assert set(lora.lora_state_dict(model)) == {"body.lora_A", "body.lora_B"}


def test_fault_24_biases_are_vectors_called_bias_and_nothing_else():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.relative_attention_bias = nn.Embedding(3, 2)
            self.relative_position_bias_table = nn.Parameter(torch.zeros(3, 2))
            self.register_buffer("bias", torch.ones(4, 4).tril())
            self.query = lora.Linear(4, 4, r=2)
            self.norm = nn.LayerNorm(4)
            self.recurrent = nn.LSTM(4, 4)

    model = Attention()
    lora.mark_only_lora_as_trainable(model, bias="all")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    recurrent = {"recurrent.bias_ih_l0", "recurrent.bias_hh_l0"}
    assert trained == {"query.lora_A", "query.lora_B", "query.bias", "norm.bias"} | recurrent
    assert set(lora.lora_state_dict(model, bias="all")) == trained


@pytest.mark.parametrize("bias", ["none", "all", "lora_only"])
def test_fault_25_what_trains_is_what_is_saved(kind, bias):
    model = nn.ModuleList([kind.build(), lora.Linear(4, 4, r=0), nn.LayerNorm(3)])
    lora.mark_only_lora_as_trainable(model, bias)
    saved = lora.lora_state_dict(model, bias)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(saved)
    assert ("1.bias" in saved) == (bias == "all")


def test_fault_26_the_bias_of_an_adapted_layer_is_frozen_from_the_start():
    layers = [
        lora.Linear(4, 4, r=2),
        lora.MergedLinear(4, 4, r=2, enable_lora=[True]),
        lora.Conv2d(2, 2, 1, r=1),
    ]
    assert not any(layer.bias.requires_grad for layer in layers)


def test_fault_27_merging_writes_to_no_parameter(kind):
    layer = kind.build()
    before = {name: (p.data_ptr(), p._version) for name, p in layer.named_parameters()}
    with torch.inference_mode():
        layer.eval()
    layer.train()
    assert {name: (p.data_ptr(), p._version) for name, p in layer.named_parameters()} == before


def test_fault_28_reentrant_checkpointing_over_a_frozen_embedding_trains():
    embedding, layer = nn.Embedding(5, 4).requires_grad_(False), lora.Linear(4, 4, r=2)
    tokens = torch.arange(5)
    handle = lora.require_input_grad(embedding)
    checkpoint(layer, embedding(tokens), use_reentrant=True).sum().backward()
    assert layer.lora_B.grad is not None
    assert layer.lora_B.grad.abs().sum() > 0
    with torch.no_grad():
        assert not embedding(tokens).requires_grad
    pickle.dumps(embedding)
    handle.remove()
    assert not embedding(tokens).requires_grad
