"""Tiny real models for the decoding tests, and the one the reference results were made with."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

PAPER_DIR = Path(__file__).parents[1] / "assets" / "paper"


def tiny_net(model_type: str, **changes: Any) -> PreTrainedModel:
    """A random causal LM over 29 tokens, with weights large enough for its opinions to differ."""
    sizes: dict[str, Any] = {
        "vocab_size": 29,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    sizes |= {"intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64}
    sizes |= {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0} | changes
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **sizes)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.7 / math.sqrt(parameter.shape[-1] / 16))
    return net


def some_prompts(seed: int, count: int = 5) -> list[list[int]]:
    """Random prompts of different lengths."""
    rng = random.Random(seed)
    return [[rng.randrange(29) for _ in range(rng.randrange(1, 9))] for _ in range(count)]


@pytest.fixture
def make_net() -> Callable[..., PreTrainedModel]:
    return tiny_net


@pytest.fixture
def gpt2() -> PreTrainedModel:
    return tiny_net("gpt2")


@pytest.fixture
def make_prompts() -> Callable[..., list[list[int]]]:
    return some_prompts


@pytest.fixture(scope="session")
def paper_net() -> GPT2LMHeadModel:
    """The tiny GPT-2 of the reference results, its trained adapter merged into it."""
    recipe = json.loads((PAPER_DIR / "train.json").read_text())
    shape = recipe["cfg"]
    config = GPT2Config(
        n_embd=shape["n_embd"], n_layer=shape["n_layer"], n_head=shape["n_head"], n_positions=512
    )
    net = GPT2LMHeadModel(config).eval()
    adapter = load_file(PAPER_DIR / "trained_adapter.safetensors")
    with torch.no_grad():
        for index, name in enumerate(recipe["names"]):
            if "lora_" not in name:
                parameter = net.get_parameter(name)
                parameter.copy_(formula_weight(name, index + recipe["seed_offset"], parameter.shape))
        for name, a in adapter.items():
            if name.endswith("lora_A"):
                layer = name.removesuffix(".lora_A")
                weight = net.get_parameter(f"{layer}.weight")
                add_query_value_update(weight, a, adapter[f"{layer}.lora_B"], shape["alpha"] / shape["r"])
    return net


def formula_weight(name: str, index: int, shape: torch.Size) -> Tensor:
    """What the formula of the reference results gives to the parameter `name`, number `index`."""
    element = torch.arange(shape.numel(), dtype=torch.float64)
    x = torch.sin((element + 1) * 12.9898 + (index + 1) * 78.233) * 43758.5453
    u = (2 * (x - x.floor()) - 1).view(shape)
    if name.endswith("bias"):
        return 0.05 * u
    if ".ln_" in name:
        return 1 + 0.1 * u
    return {"wte": 1.0, "wpe": 0.3}.get(name.split(".")[1], 2 / math.sqrt(shape[0])) * u


def add_query_value_update(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> None:
    """weight [d, 3d] as Conv1D has it; a [2r, d] and b [2d, r] hold the query's half, then the value's."""
    width = weight.shape[0]
    a_query, a_value = a.chunk(2)
    b_query, b_value = b.chunk(2)
    weight[:, :width] += scale * (b_query @ a_query).T
    weight[:, 2 * width :] += scale * (b_value @ a_value).T
