"""What targets leave out of what their words promise is said, with its size, or refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig

from lorafit import lora
from lorafit.errors import RecipeError
from lorafit.models import Model, skeleton
from lorafit.models.families.reach import Matrices
from tests.support.tiny_models import tiny_model

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "moe_intermediate_size": 16,
    "vocab_size": 50,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "eos_token_id": 0,
}
MIXTURES: dict[str, dict[str, Any]] = {
    "mixtral": {},
    "qwen2_moe": {},
    "qwen3_moe": {},
    "deepseek_v2": {"first_k_dense_replace": 1},
    "deepseek_v3": {"first_k_dense_replace": 1},
    "gpt_oss": {},
    "granitemoe": {},
    "olmoe": {},
    "jetmoe": {},
}


def shape_of(model_type: str, **changes: Any) -> Model:
    return skeleton(
        AutoConfig.for_model(model_type, **{**SIZES, **MIXTURES.get(model_type, {}), **changes}), "text"
    )


def shortfalls(model: Model, *targets: str) -> list[str]:
    return model.family.shortfalls(model.net, targets)


@pytest.mark.parametrize("model_type", MIXTURES)
def test_all_linear_says_what_it_leaves_out_of_a_mixture_of_experts(model_type):
    """The count is that of every matrix in the blocks that gets no adapter."""
    model = shape_of(model_type)
    (note,) = shortfalls(model, "all-linear")
    assert "experts" in note or "input_linear" in note
    matrices = sum(
        p.numel()
        for n, p in model.net.named_parameters()
        if ".layers." in n and p.ndim > 1 and not n.endswith("bias")
    )
    lora.attach(model.net, model.family.sites(model.net, ["all-linear"]), r=2, alpha=2)
    adapted = sum(layer.weight.numel() for layer in lora.adapted_layers(model.net).values())
    assert f"({matrices - adapted:,} parameters, " in note


@pytest.mark.parametrize("word", ["up", "down"])
@pytest.mark.parametrize("model_type", [name for name in MIXTURES if name != "jetmoe"])
def test_a_word_that_means_the_experts_is_refused_where_it_would_miss_them(model_type, word):
    model = shape_of(model_type)
    with pytest.raises(
        RecipeError, match=rf"experts\.\w*{word}_proj \([\d,]+ parameters, [\d.]+ % of the base\)"
    ):
        shortfalls(model, word)


def test_the_shared_expert_alone_can_be_named():
    model = shape_of("qwen2_moe")
    with pytest.raises(RecipeError, match=r"'up' would adapt mlp\.shared_expert\.up_proj alone") as raised:
        shortfalls(model, "query", "up")
    assert '"mlp.shared_expert.up_proj" means just that' in str(raised.value)
    assert shortfalls(model, "shared_expert.up_proj", "query") == []


@pytest.mark.parametrize(
    ("target", "left_out"),
    [
        ("mlp.*", "mlp.gate.weight, mlp.experts.gate_up_proj, mlp.experts.down_proj"),
        ("up_proj", "mlp.experts.gate_up_proj"),
        ("mlp.*down_proj", "mlp.experts.down_proj"),
        ("layers.*_proj", "mlp.experts.gate_up_proj, mlp.experts.down_proj"),
    ],
)
def test_a_pattern_says_what_it_means_and_does_not_reach(target, left_out):
    (note,) = shortfalls(shape_of("qwen2_moe"), target)
    assert note.startswith(f"targets: '{target}' adapts nothing of {left_out} (")


def test_a_pattern_of_nothing_but_experts_is_refused_with_what_they_are():
    with pytest.raises(
        RecipeError, match=r"matches no module .*mlp\.experts\.down_proj .* are no linear layers"
    ):
        shortfalls(shape_of("mixtral"), "experts.down_proj")


@pytest.mark.parametrize("targets", [("query", "value"), ("self_attn.*",), ("q_proj",), ("lm_head",)])
def test_attention_alone_promises_no_more(targets):
    assert shortfalls(shape_of("mixtral"), *targets) == []


def test_blocks_that_have_it_under_another_name_are_said():
    """DeepSeek's first blocks are dense."""
    model = shape_of("deepseek_v2", num_hidden_layers=4, first_k_dense_replace=2)
    assert shortfalls(model, "shared_experts.up_proj") == [
        "targets: 'shared_experts.up_proj' matches in 2 of 4 blocks, not in blocks 0, 1, which have mlp.up_proj"
    ]
    assert shortfalls(model, "layers.[23].*.shared_experts.up_proj") == []  # it names its blocks
    both = shortfalls(model, "shared_experts.up_proj", "layers.[01].mlp.up_proj")
    assert both == []


def test_blocks_that_lack_it_are_said():
    """Gemma's recurrent blocks have no query."""
    model = shape_of("recurrent_gemma")
    for target in ("query", "q_proj"):
        (note,) = shortfalls(model, target)
        assert re.fullmatch(rf"targets: '{target}' matches in 1 of 3 blocks, not in blocks 0, 1", note)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert", "roberta", "deberta-v2", "qwen3"])
def test_a_model_of_linear_layers_alone_leaves_nothing_out(model_type):
    model = tiny_model(model_type)
    assert shortfalls(model, *model.family.places, "all-linear") == []


class _Scaled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


def test_a_linear_layer_of_another_class_and_a_bare_parameter_count_as_left_out():
    model = tiny_model("llama")
    for i in range(3):
        mlp = model.net.get_submodule(f"model.layers.{i}.mlp")
        mlp.register_module("down_proj", _Scaled(24, 16, bias=False))
        mlp.register_parameter("scale", nn.Parameter(torch.ones(1, 1, 16)))  # no matrix
        mlp.register_parameter("mixing", nn.Parameter(torch.ones(4, 4)))
    found = Matrices.of(model.net, "model.layers")
    assert {name.split(".", 3)[3] for name in found.parameters} == {"mlp.down_proj.weight", "mlp.mixing"}
    (note,) = shortfalls(model, "all-linear")
    assert f"mlp.mixing, mlp.down_proj.weight ({3 * (16 + 24 * 16):,} parameters" in note
    with pytest.raises(RecipeError, match="no linear layers"):
        shortfalls(model, "down")
