"""Merging is a verb, exactly reversible, and never writes to the base."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

import lorafit.lora as lora
from lorafit.errors import NotMergeableError, RecipeError


class Tied(nn.Module):
    """A small language model whose head shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.head(self.embedding(tokens))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_eval_and_train_cycles_leave_the_base_bit_equal(kind, dtype):
    layer = kind.build(kind.base().to(dtype))
    weight = layer.weight.clone()
    for _ in range(20):
        layer.eval().train()
        assert torch.equal(layer.weight, weight)


def test_a_merged_layer_computes_the_same_function(kind):
    layer, x = kind.build(), kind.input()
    apart = layer(x)
    layer.merge()
    assert layer.merged
    torch.testing.assert_close(layer(x), apart, rtol=1e-4, atol=1e-5)
    layer.unmerge()
    assert not layer.merged
    assert torch.equal(layer(x), apart)


def test_merging_rounds_once():
    layer = lora.Linear.from_base(nn.Linear(32, 32).bfloat16(), r=4, init="paper-gpt2", merge_weights=False)
    layer.merge()
    exact = layer.weight.double() + layer.scaling * layer.lora_B.double() @ layer.lora_A.double()
    assert layer.merged_weight is not None
    assert torch.equal(layer.merged_weight, exact.to(torch.bfloat16))


def test_merged_is_a_flag_and_a_context(kind):
    layer, x = kind.build(merge_weights=False), kind.input()
    apart = layer(x)
    assert layer.merged == False  # noqa: E712  loralib's users compare it so
    with layer.merged() as same:
        assert same is layer
        assert layer.merged == True  # noqa: E712
        with layer.merged():
            pass
        assert layer.merged, "an inner block must not undo the outer one's merge"
    assert not layer.merged
    with pytest.raises(KeyError), layer.merged():
        raise KeyError
    assert torch.equal(layer(x), apart)


def test_a_whole_model_merges_for_a_block():
    model = GPT2LMHeadModel(
        GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=20, bos_token_id=0, eos_token_id=0)
    )
    model.eval()
    sites = [lora.Site(name, (True, False, True)) for name in lora.find(model, ["c_attn"])]
    lora.attach(model, sites, r=2, alpha=4, init="paper-gpt2")
    tokens = torch.arange(8)[None]
    apart, state = model(tokens).logits, {k: v.clone() for k, v in model.state_dict().items()}
    first = next(lora.lora_layers(model))
    first.merge()
    with lora.merged(model) as same:
        assert same is model
        assert all(layer.merged for layer in lora.lora_layers(model))
        torch.testing.assert_close(model(tokens).logits, apart)
    assert [bool(layer.merged) for layer in lora.lora_layers(model)] == [True, False]
    lora.unmerge(model)
    assert torch.equal(model(tokens).logits, apart)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_without_merge_weights_eval_and_train_change_nothing(kind):
    layer = kind.build(merge_weights=False)
    assert not layer.eval().merged
    layer.merge()
    assert layer.train().merged


def test_a_cast_while_merged_rounds_the_merged_weight_once(kind):
    layer = kind.build(kind.base().bfloat16()).eval()
    expected = (layer.weight.float() + layer.delta_weight()).detach()
    layer.float()
    torch.testing.assert_close(layer.merged_weight, expected)
    assert layer.merged_weight.is_contiguous()


def test_padding_and_max_norm_of_an_embedding_survive_merging():
    base = nn.Embedding(9, 4, padding_idx=2, max_norm=0.5)
    layer = lora.Embedding.from_base(base, r=2, init="paper-gpt2", merge_weights=False)
    tokens = torch.arange(9)
    with layer.merged():
        merged = layer(tokens)
    apart = layer(tokens)
    torch.testing.assert_close(merged, apart)
    assert not apart[2].any()


def test_a_tied_embedding_merges_without_its_head():
    model, tokens = Tied(), torch.arange(11)
    lora.attach(model, [lora.Site("embedding")], r=2, alpha=4, init="paper-gpt2")
    apart = model(tokens)
    with lora.merged(model):
        torch.testing.assert_close(model(tokens), apart)
    assert model.head.weight is model.embedding.weight


def test_writing_into_a_tied_weight_is_refused_before_anything_is_written():
    model = Tied()
    before = model.head.weight.clone()
    lora.attach(model, [lora.Site("embedding")], r=2, alpha=4, init="paper-gpt2")
    with pytest.raises(NotMergeableError, match="embedding and head share one weight"):
        lora.detach(model, merge=True)
    assert torch.equal(model.head.weight, before)
    assert isinstance(model.embedding, lora.Embedding)
    assert lora.detach(model) == ["embedding"]


def test_detach_gives_the_plain_model_back(kind):
    base, x = kind.base(), kind.input()
    model = nn.Sequential(base)
    before = base(x)
    layer = kind.build(base)
    model[0] = layer
    apart = layer(x)
    assert lora.detach(model) == ["0"]
    assert model[0] is base
    assert torch.equal(model(x), before)
    model[0] = layer
    lora.detach(model, merge=True)
    assert model[0] is base
    torch.testing.assert_close(model(x), apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "x", "plain"),
    [
        (lora.Linear(4, 6, r=2), torch.randn(3, 4), nn.Linear),
        (lora.Linear(4, 6, r=2, fan_in_fan_out=True), torch.randn(3, 4), nn.Linear),
        (lora.Embedding(4, 6, r=2, padding_idx=1), torch.arange(4), nn.Embedding),
        (lora.Conv2d(2, 4, 3, r=2), torch.randn(1, 2, 5, 5), nn.Conv2d),
    ],
)
def test_layers_made_by_constructor_detach_too(layer, x, plain):
    layer.reset_lora_parameters("paper-gpt2")
    model = nn.Sequential(layer)
    apart = model(x)
    lora.detach(model, merge=True)
    assert type(model[0]) is plain
    torch.testing.assert_close(model(x), apart)


def test_a_layer_merged_in_inference_mode_can_be_trained_through():
    first = nn.Linear(4, 4)
    model = nn.Sequential(first, lora.Linear.from_base(nn.Linear(4, 4), r=2, init="paper-gpt2"))
    with torch.inference_mode():
        model.eval()
        model(torch.randn(2, 4))
    model(torch.randn(2, 4)).sum().backward()
    assert first.weight.grad is not None
    assert first.weight.grad.abs().sum() > 0


def test_a_compiled_merged_layer_sees_what_is_loaded():
    layer, x = lora.Linear.from_base(nn.Linear(4, 4), r=2, init="paper-gpt2").eval(), torch.randn(2, 4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    compiled(x)
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
    torch.testing.assert_close(compiled(x), layer.train()(x))
    torch._dynamo.reset()


def test_a_layer_made_in_inference_mode_merges():
    with torch.inference_mode():
        layer, x = lora.Linear(4, 4, r=2), torch.randn(2, 4)
        layer.reset_lora_parameters("paper-gpt2")
        torch.testing.assert_close(layer.eval()(x), layer.train()(x))


@pytest.mark.parametrize("kind", [nn.Linear, Conv1D])
@pytest.mark.parametrize("init", lora.STARTS)
def test_an_adapter_that_starts_as_a_part_of_the_weight_leaves_it_whole(kind, init):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7) if kind is nn.Linear else Conv1D(7, 5))
    x, weight = torch.randn(3, 5), model.get_parameter("0.weight").detach().clone()
    expected = model(x)
    lora.attach(model, [lora.Site("0")], r=2, alpha=6, init=init)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-5)
    assert not torch.equal(model.get_parameter("0.weight"), weight)
    with torch.no_grad():
        model.get_parameter("0.lora_A").add_(0.5)
    trained, twin = model(x), copy.deepcopy(model)
    lora.detach(model)
    assert torch.equal(model(x), expected)
    lora.detach(twin, merge=True)
    assert type(twin[0]) is kind
    torch.testing.assert_close(twin(x), trained, rtol=0, atol=1e-5)


def test_an_init_out_of_the_weight_needs_a_linear_layer_with_that_rank():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    with pytest.raises(RecipeError, match="0: init 'pissa' is for linear layers"):
        lora.attach(model, [lora.Site("0")], r=2, init="pissa")
    with pytest.raises(RecipeError, match=r"1: init 'olora': a weight \[3, 4\] has no rank 4"):
        lora.attach(model, [lora.Site("1")], r=4, init="olora")
