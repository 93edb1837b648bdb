"""Layers from which no gradient comes back get no adapter from "all-linear", and a target that means one is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, PretrainedConfig

from lorafit import lora
from lorafit.errors import RecipeError
from lorafit.methods import LoRA
from lorafit.models import FAMILIES, Model, family_of, is_proven, skeleton, unreached_layers
from lorafit.models.trials.shrink import small_configs

UNREACHED = {
    "mamba": ("text", ["dt_proj"]),  # its weight is read by the mixer
    "bart": ("text", ["encoder_attn.k_proj", "encoder_attn.out_proj"]),  # no encoder there
    "gemma3": ("text", ["vision_tower.*.k_proj", "vision_tower.*.fc1"]),  # no images there
    "big_bird": ("label", ["pooler"]),  # the head reads another token
    "opt": ("text", []),
    "starcoder2": ("label", []),
}


def small(model_type: str, **changes: Any) -> PretrainedConfig:
    return next(small_configs(AutoConfig.for_model(model_type, **changes)))


@pytest.mark.parametrize("model_type", UNREACHED)
def test_what_no_gradient_comes_back_from_is_found(model_type: str) -> None:
    output, expected = UNREACHED[model_type]
    config = small(model_type, **({"is_decoder": True} if model_type == "bart" else {}))
    found = unreached_layers(family_of(config), config, output)  # type: ignore[arg-type]
    for pattern in expected:
        assert any(lora.matches(name, pattern) for name in found), pattern
    assert bool(found) == bool(expected)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_nothing_is_tried_where_a_file_says_all(model_type: str) -> None:
    family, config = FAMILIES[model_type], FAMILIES[model_type].tiny_config()
    assert unreached_layers(family, config, next(iter(family.heads))) == ()


def test_all_linear_leaves_them_out_and_says_so() -> None:
    config = small("mamba")
    model = skeleton(config, "text")
    method = LoRA(targets=("all-linear",), r=2)
    left_out = "targets: 'all-linear' adapts nothing of backbone.layers.*.mixer.dt_proj, to which"
    assert any(note.startswith(left_out) for note in method.shortfalls(model))
    method.attach(model)
    adapted = lora.adapted_layers(model.net)
    assert adapted
    assert not any("dt_proj" in name for name in adapted)


@pytest.mark.parametrize("targets", [("dt_proj",), ("*_proj",)])
def test_a_target_that_means_one_in_its_own_words_is_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError, match="dt_proj, to which no gradient comes back") as raised:
        LoRA(targets=targets, r=2).shortfalls(skeleton(small("mamba"), "text"))
    assert "all-linear" in str(raised.value.remedies)


def test_a_pooler_that_the_head_does_not_read_trains_not() -> None:
    model = skeleton(small("big_bird", num_labels=2), "label")
    LoRA(targets=("query",), r=2).attach(model)
    trained = model.trained()
    assert any(name.startswith("classifier.") for name in trained)
    assert not any("pooler" in name for name in trained)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra"])
def test_an_encoder_that_may_write_is_taken_apart_by_structure(model_type: str) -> None:
    config = FAMILIES[model_type].tiny_config(is_decoder=True)
    family = family_of(config)
    assert "text" in family.heads
    assert not is_proven(family)
    assert {"query", "value"} <= family.places.keys()
    assert "text" not in family_of(FAMILIES[model_type].tiny_config()).heads


class InOtherWords(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        product = input @ self.weight.T
        return product if self.bias is None else product + self.bias


class Doubled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * F.linear(input, self.weight, self.bias)


class Scaled(nn.Linear):
    """The same as long as its scale is 1."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.scale = 3.0

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(input, self.weight, self.bias) * getattr(self, "scale", 1.0)


@pytest.mark.parametrize(("kind", "is_linear"), [(InOtherWords, True), (Doubled, False), (Scaled, False)])
def test_a_linear_layer_in_other_words_gets_an_adapter(kind: type[nn.Linear], is_linear: bool) -> None:
    net = nn.Sequential(kind(4, 6))
    assert lora.Linear.adapts(net[0]) == is_linear
    if is_linear:
        x = torch.randn(2, 3, 4)
        before = net(x)
        lora.attach(net, [lora.Site("0")], r=2, alpha=4)
        torch.testing.assert_close(net(x), before)


def test_what_a_layer_gives_may_be_changed_in_place() -> None:
    """As Longformer does with queries that it computes from a transposed input."""
    net = nn.Sequential(nn.Linear(4, 6))
    lora.attach(net, [lora.Site("0")], r=2, alpha=4)
    x = torch.randn(5, 3, 4, requires_grad=True).transpose(0, 1)
    y = net(x)
    y /= 2.0
    y.sum().backward()


def test_a_head_of_which_only_one_pooling_is_known() -> None:
    """ModernBERT's may take the mean of all tokens: then the net itself finds the way, one text below the other."""
    family = FAMILIES["modernbert"]
    ways = {pooling: family.tiny_config(classifier_pooling=pooling) for pooling in ("cls", "mean")}
    head = family.heads["label"]
    assert head.way(ways["cls"]) == ("head", "drop", "classifier")
    assert head.way(ways["mean"]) == ()
    model = Model(head.auto_class.from_config(ways["mean"]).eval(), None, family, "label")
    ids, mask = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    with torch.no_grad():
        found = model.head_outputs(ids, [3, 2], attention_mask=mask)
        alone = torch.cat([model.net(input_ids=ids[:1]).logits, model.net(input_ids=ids[1:, :2]).logits])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
