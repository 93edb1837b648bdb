"""What an adapter computes, against the formulas of the papers written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from lorafit.methods import AdapterTuning
from lorafit.methods.adapter_modules import AdaptedBlock, AdaptedDropout, AdaptedOutput, Bottleneck
from lorafit.models import Model
from tests.support.tiny_models import outputs, some_inputs, tiny_model

X, RESIDUAL = torch.linspace(-1, 1, 48).view(3, 16), torch.linspace(2, -1, 48).view(3, 16)


def attached(model_type: str, method: AdapterTuning) -> Model:
    model = tiny_model(model_type)
    method.attach(model, torch.Generator().manual_seed(0))
    return model


def by_hand(adapter: Bottleneck, x: Tensor, act: nn.Module) -> Tensor:
    return act(x @ adapter.down.weight.T + adapter.down.bias) @ adapter.up.weight.T + adapter.up.bias


@pytest.mark.parametrize(
    ("model_type", "places"),
    [
        ("gpt2", ["attn.resid_dropout", "mlp.dropout"]),
        ("roberta", ["attention.output.dropout", "output.dropout"]),
        ("deberta-v2", ["attention.output.dropout", "output.dropout"]),
    ],
)
def test_houlsby_stands_behind_both_sublayers_with_swish(model_type: str, places: list[str]) -> None:
    model = attached(model_type, AdapterTuning(size=4))
    block = model.net.get_submodule(f"{model.family.block_prefix(model.net)}.1")
    for place in places:
        adapted = block.get_submodule(place)
        assert isinstance(adapted, AdaptedDropout)
        torch.testing.assert_close(adapted(X), X + by_hand(adapted.adapter, X, nn.SiLU()))


def test_pfeiffer_uses_the_layer_norm_twice() -> None:
    model = attached("roberta", AdapterTuning(variant="pfeiffer", size=4))
    output = model.net.get_submodule("roberta.encoder.layer.0.output")
    assert isinstance(output, AdaptedOutput)
    wide = torch.linspace(-1, 1, 72).view(3, 24)
    h = output.dense(wide)
    normed = output.LayerNorm(h + RESIDUAL)
    expected = output.LayerNorm(by_hand(output.adapter, normed, nn.ReLU()) + h + RESIDUAL)
    torch.testing.assert_close(output(wide, RESIDUAL), expected)
    attention = model.net.get_submodule("roberta.encoder.layer.0.attention.output")
    assert not isinstance(attention, AdaptedOutput)


def test_lin_stands_behind_the_block_with_a_norm_of_its_own() -> None:
    plain, model = tiny_model("gpt2"), attached("gpt2", AdapterTuning(variant="lin", size=4))
    block = model.net.get_submodule("transformer.h.1")
    assert isinstance(block, AdaptedBlock)
    x = X.unsqueeze(0)
    h = plain.net.get_submodule("transformer.h.1")(x)
    norm = nn.LayerNorm(16, eps=model.net.config.layer_norm_epsilon)
    torch.testing.assert_close(block(x), h + by_hand(block.adapter, norm(h), nn.ReLU()))
    trained_norms = [name for name in model.trained() if "norm" in name]
    assert len(trained_norms) == 2 * 3


def test_weights_start_near_zero_and_biases_at_zero() -> None:
    for variant in ("houlsby", "pfeiffer", "adapterdrop"):
        trained = attached("roberta", AdapterTuning(variant=variant, size=64)).trained()
        for name, parameter in trained.items():
            if "adapter" in name and name.endswith("weight"):
                assert 0.015 < parameter.std() < 0.025, name
            elif "adapter" in name:
                assert not parameter.any(), name


def test_adapterdrop_leaves_the_lower_layers_bare() -> None:
    names = attached("bert", AdapterTuning(variant="adapterdrop", size=4, drop_layers=2)).trained()
    assert {name.split(".")[3] for name in names if "adapter" in name} == {"2"}


def test_random_dropping_is_in_training_alone_and_reaches_every_depth() -> None:
    full = attached("bert", AdapterTuning(variant="adapterdrop", size=4, init_std=0.5))
    dropping = attached(
        "bert", AdapterTuning(variant="adapterdrop", size=4, init_std=0.5, drop_at_random=True)
    )
    assert torch.equal(outputs(full), outputs(dropping))

    def without(num_layers: int) -> Tensor:
        """The answer when the adapters of the lowest layers give way to the bare layers."""
        model = attached("bert", AdapterTuning(variant="adapterdrop", size=4, init_std=0.5))
        bare = tiny_model("bert")
        for layer in range(num_layers):
            name = f"bert.encoder.layer.{layer}"
            model.net.set_submodule(name, bare.net.get_submodule(name))
        return outputs(model)

    expected = [without(n) for n in range(3)]
    for module in dropping.net.modules():  # training mode without dropout
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    dropping.net.train()
    torch.manual_seed(0)
    seen = set()
    for _ in range(20):
        out = outputs(dropping)
        seen |= {n for n, answer in enumerate(expected) if torch.allclose(out, answer, atol=1e-6)}
        out.sum().backward()
        assert all(p.grad is not None for p in dropping.trained().values())
    assert seen == {0, 1, 2}


def test_the_draw_follows_torchs_seed() -> None:
    model = attached("bert", AdapterTuning(variant="adapterdrop", size=4, drop_at_random=True))
    model.net.train()

    def run() -> list[Tensor]:
        torch.manual_seed(3)
        return [outputs(model).detach() for _ in range(5)]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_those_that_chance_may_pass_over_are_not_expected_to_move() -> None:
    """All that a pass can do without: with every lower layer dropped, these get a gradient of 0."""
    method = AdapterTuning(variant="adapterdrop", size=4, drop_layers=1, drop_at_random=True)
    model = attached("bert", method)
    depth: Any = model.net.get_submodule("bert.encoder.layer.1.output").depth
    depth.drops = lambda layer, _draws: layer < 2
    model.net.train()
    outputs(model).square().sum().backward()
    reached = {name for name, p in model.trained().items() if p.grad is not None and p.grad.any()}
    assert method.always_reached(model).keys() == reached < model.trained().keys()
    assert AdapterTuning(variant="adapterdrop", size=4).always_reached(model).keys() == model.trained().keys()


def test_dropping_is_for_adapterdrop() -> None:
    with pytest.raises(ValidationError, match="adapterdrop"):
        AdapterTuning(variant="houlsby", drop_layers=1)


def test_hidden_states_can_still_be_asked_for() -> None:
    model = attached("gpt2", AdapterTuning(variant="lin", size=4))
    states = model.net(**some_inputs(), output_hidden_states=True).hidden_states
    assert len(states) == 4


def test_random_dropping_draws_the_same_when_activations_are_recomputed() -> None:
    model = attached("bert", AdapterTuning(variant="adapterdrop", size=4, drop_at_random=True))
    net, parameters = model.net.train(), list(model.trained().values())

    def gradients(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return list(torch.autograd.grad(outputs(model).square().sum(), parameters))

    expected = [gradients(seed) for seed in range(4)]
    getattr(net, "activation_checkpointing_enable", net.gradient_checkpointing_enable)(
        {"use_reentrant": False}
    )
    for seed, before in enumerate(expected):
        for gradient, other in zip(gradients(seed), before, strict=True):
            torch.testing.assert_close(gradient, other)
