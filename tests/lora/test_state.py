"""What is marked trainable, and the state dict of just that."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import lorafit.lora as lora
from lorafit.errors import RecipeError


def _model() -> nn.ModuleDict:
    return nn.ModuleDict(
        {"adapted": lora.Linear(4, 4, r=2), "head": nn.Linear(4, 2), "norm": nn.LayerNorm(4)}
    )


def _adapted(model: nn.ModuleDict) -> lora.Linear:
    layer = model["adapted"]
    assert isinstance(layer, lora.Linear)
    return layer


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ("none", {"adapted.lora_A", "adapted.lora_B"}),
        ("lora_only", {"adapted.lora_A", "adapted.lora_B", "adapted.bias"}),
        ("all", {"adapted.lora_A", "adapted.lora_B", "adapted.bias", "head.bias", "norm.bias"}),
    ],
)
def test_bias_rules(bias, expected):
    model = _model()
    _adapted(model).lora_A.requires_grad_(False)
    lora.mark_only_lora_as_trainable(model, bias=bias)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == expected
    state = lora.lora_state_dict(model, bias=bias)
    assert set(state) == expected
    assert not any(tensor.requires_grad for tensor in state.values())


def test_an_unknown_rule_is_refused_before_anything_is_frozen():
    model = _model()
    for function in (lora.mark_only_lora_as_trainable, lora.lora_state_dict):
        with pytest.raises(
            RecipeError, match="bias 'lora': must be one of none, all, lora_only; did you mean"
        ):
            function(model, bias="lora")
    assert model["head"].weight.requires_grad


def test_the_state_loads_into_another_model_and_carries_the_function():
    model, twin, x = _model(), _model(), torch.randn(3, 4)
    layer, other = _adapted(model), _adapted(twin)
    layer.reset_lora_parameters("paper-gpt2")
    other.load_state_dict(nn.Linear(4, 4).state_dict(), strict=False)
    layer.load_state_dict(other.state_dict() | lora.lora_state_dict(layer))
    result = twin.load_state_dict(lora.lora_state_dict(model), strict=False)
    assert result.unexpected_keys == []
    assert torch.equal(_adapted(twin)(x), _adapted(model)(x))


def test_it_holds_the_adapter_of_a_merged_model_unmerged(kind):
    layer = kind.build()
    apart = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()
    assert all(torch.equal(value, apart[name]) for name, value in layer.state_dict().items())
    assert layer.state_dict().keys() == apart.keys()


def test_a_layer_and_a_model_name_what_trains(kind):
    layer = kind.build()
    assert {n: id(p) for n, p in layer.adapter_parameters().items()} == {
        "lora_A": id(layer.lora_A),
        "lora_B": id(layer.lora_B),
    }
    assert kind.layer.from_base(kind.base(), r=0, **kind.options).adapter_parameters() == {}
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(nn.Linear(2, 2), kind.build())})
    assert lora.adapted_layers(model) == {"a": layer, "b.1": model.get_submodule("b.1")}
    whole = lora.adapter_parameters(model)
    assert {n: id(p) for n, p in whole.items()} == {
        n: id(p)
        for n, p in model.named_parameters()
        if p.requires_grad and n != "b.0.weight" and n != "b.0.bias"
    }
    assert lora.adapter_parameters(layer).keys() == {"lora_A", "lora_B"}


def test_a_filled_layer_shares_all_but_its_adapter(kind):
    layer, other, x = kind.build(), kind.build(), kind.input()
    before = layer.delta_weight().clone()
    filled = layer.filled({name: p.detach() for name, p in other.adapter_parameters().items()})
    assert torch.equal(filled.delta_weight(), other.delta_weight())
    assert filled.weight is layer.weight
    assert torch.equal(layer.delta_weight(), before)
    assert not torch.equal(filled(x), layer(x))
    with pytest.raises(KeyError):
        layer.filled({"lora_A": layer.lora_A})


def test_names_under_wrappers_are_those_of_the_state_dict():
    model = nn.DataParallel(_model())
    compiled: Any = torch.compile(_model(), backend="aot_eager")
    assert set(lora.lora_state_dict(model)) == {"module.adapted.lora_A", "module.adapted.lora_B"}
    assert set(lora.lora_state_dict(compiled)) < set(compiled.state_dict())
    assert len(lora.lora_state_dict(compiled)) == 2
