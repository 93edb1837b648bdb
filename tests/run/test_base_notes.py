"""What a base cannot give, or gives twice, is said where a run is planned, started and merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lorafit.adapters import read_adapter, restore
from lorafit.methods import LoRA
from lorafit.models.families.tiny import DECODER, byte_pairs
from lorafit.run.events import Event, Note
from lorafit.run.plan import load_plan
from lorafit.run.session import load
from tests.conftest import CONTEXTS, e2e_rows, recipe_overrides
from tests.support.adapter_fixtures import make_adapter

LEFT_OUT = "'all-linear' adapts nothing of mlp.gate.weight, mlp.experts.gate_up_proj, mlp.experts.down_proj"
TIED = "config.json ties model.embed_tokens.weight and lm_head.weight"


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """A mixture of experts whose config ties output and input embedding, while its file holds two."""
    tokenizer = byte_pairs([e2e_rows(CONTEXTS)], DECODER)
    tokenizer.save_pretrained(tmp_path / "base")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"intermediate_size": 32, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    sizes |= {"num_experts": 4, "num_experts_per_tok": 2, "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(
        "qwen2_moe", **sizes, max_position_embeddings=128, tie_word_embeddings=True, eos_token_id=0
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    file = tmp_path / "base" / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["lm_head.weight"] = torch.randn(len(tokenizer), 32) * 0.1
    safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})
    return tmp_path / "base"


def test_the_plan_and_the_run_say_it_once(mixture: Path, cli: Callable[..., Any], e2e_dir: Path):
    options = recipe_overrides(mixture, e2e_dir, method__targets=["all-linear"])
    planned = cli("train", "e2e_gpt2m", *options, "--dry-run", "--json").stdout
    assert (planned.count(LEFT_OUT), planned.count(TIED)) == (1, 1)
    events: list[Event] = []
    load(load_plan("e2e_gpt2m", options[1::2]), events.append)
    said = "\n".join(event.text for event in events if isinstance(event, Note))
    assert (said.count(LEFT_OUT), said.count(TIED)) == (1, 1)


def test_what_is_merged_computes_the_same_and_the_merge_says_it(
    mixture: Path, cli: Callable[..., Any], tmp_path: Path
):
    make_adapter(mixture, tmp_path / "adapter", LoRA(r=2, alpha=4, targets=("all-linear",)))
    assert TIED in " ".join(cli("merge", tmp_path / "adapter", tmp_path / "merged").stdout.split())
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        adapted = restore(read_adapter(tmp_path / "adapter")).net(input_ids=ids).logits
        torch.testing.assert_close(merged(input_ids=ids).logits, adapted, rtol=1e-4, atol=1e-4)


def test_a_word_that_would_miss_the_experts_is_refused_before_anything_is_trained(
    mixture: Path, cli: Callable[..., Any], e2e_dir: Path
):
    options = recipe_overrides(mixture, e2e_dir, method__targets=["query", "up"])
    refused = " ".join(cli("train", "e2e_gpt2m", *options, "--dry-run", code=2).stderr.split())
    assert "'up' would adapt mlp.shared_expert.up_proj alone, and not mlp.experts.gate_up_proj" in refused
    assert "--set method.targets" in refused
