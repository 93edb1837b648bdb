"""Small copies of real configs: every kind of layer stays, and every window becomes short."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig

from lorafit.models import FAMILIES
from lorafit.models.trials.shrink import WINDOW, small_configs

S, F = "sliding_attention", "full_attention"
WINDOWS: dict[str, tuple[dict[str, Any], str]] = {
    "mistral": ({}, "sliding_window"),
    "qwen2": ({"use_sliding_window": True}, "sliding_window"),
    "phi3": ({"sliding_window": 2047}, "sliding_window"),
    "gpt_neo": ({}, "window_size"),
    "modernbert": ({}, "local_attention"),
    "llama4_text": ({}, "attention_chunk_size"),
    "recurrent_gemma": ({}, "attention_window_size"),
}
LARGE = [
    *FAMILIES,
    *(
        "gpt_neo",
        "modernbert",
        "gemma2",
        "gemma3_text",
        "llama4_text",
        "qwen3_moe",
        "phi3",
        "starcoder2",
        "cohere2",
    ),
    *(
        "olmo2",
        "mixtral",
        "bloom",
        "opt",
        "gpt_neox",
        "gptj",
        "falcon",
        "mamba",
        "jamba",
        "gpt_oss",
        "deepseek_v3",
    ),
]


def smallest(config: PretrainedConfig) -> PretrainedConfig:
    return next(small_configs(config))


@pytest.mark.parametrize("model_type", WINDOWS)
def test_a_window_becomes_short_under_each_of_its_names(model_type: str) -> None:
    values, name = WINDOWS[model_type]
    small = smallest(AutoConfig.for_model(model_type, **values))
    assert getattr(small, name) == WINDOW


@pytest.mark.parametrize("model_type", LARGE)
def test_a_config_as_large_as_real_ones_becomes_a_net_that_runs_in_a_moment(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    before = copy.deepcopy(config).to_dict()
    small = smallest(config)
    assert config.to_dict() == before
    net = AutoModel.from_config(small)
    assert sum(p.numel() for p in net.parameters()) < 3_000_000
    states = net(input_ids=torch.tensor([[11, 12, 13, 14, 15]])).last_hidden_state
    assert states.isfinite().all()


@pytest.mark.parametrize(
    ("layer_types", "kept"),
    [
        ([F] * 28 + [S] * 4, {F: 2, S: 2}),
        ([S, S, S, S, S, F] * 8, {S: 2, F: 2}),
        ([F] * 24, {F: 2}),
        ([F, S], {F: 1, S: 1}),
    ],
)
def test_two_layers_of_every_kind_stay(layer_types: list[str], kept: dict[str, int]) -> None:
    config = AutoConfig.for_model(
        "qwen3", num_hidden_layers=len(layer_types), layer_types=layer_types, use_sliding_window=True
    )
    small = smallest(config)
    assert small.num_hidden_layers == len(small.layer_types)
    assert all(small.layer_types.count(kind) >= count for kind, count in kept.items())


def test_what_goes_by_a_layers_number_still_shows() -> None:
    moe = AutoConfig.for_model("qwen3_moe", decoder_sparse_step=3, mlp_only_layers=[1, 40])
    small = smallest(moe)
    assert small.num_hidden_layers > small.decoder_sparse_step == 3
    assert small.mlp_only_layers == [1]
    jamba = smallest(AutoConfig.for_model("jamba"))
    assert set(jamba.layers_block_type) == {"mamba", "attention"}
    llama4 = smallest(AutoConfig.for_model("llama4_text"))
    assert llama4.moe_layers == list(range(llama4.num_hidden_layers))


def test_groups_of_heads_and_a_nested_config_keep_their_kind() -> None:
    llama = smallest(AutoConfig.for_model("llama", num_attention_heads=32, num_key_value_heads=8))
    assert (llama.num_attention_heads, llama.num_key_value_heads, llama.head_dim) == (4, 1, 16)
    text = smallest(AutoConfig.for_model("gemma3")).get_text_config()
    assert (text.sliding_window, text.vocab_size) == (WINDOW, 61)
    assert {S, F} == set(text.layer_types)
