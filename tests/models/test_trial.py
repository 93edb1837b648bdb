"""A shortcut that no test has proven is taken only where a small copy of the net gives the same numbers with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from lorafit.data.batches import SequenceBatch, pack, pad
from lorafit.data.encoding.encode import EncodedPair
from lorafit.decoding import Greedy, generate_all
from lorafit.decoding.session import way_to_decode
from lorafit.models import FAMILIES, accepted, family_of, is_proven, take_packed_rows, way_to_read
from lorafit.models.attention.masks import packed_mask
from lorafit.models.attention.packing import PACKED_ATTENTION
from lorafit.models.trials import verdicts
from lorafit.models.trials.trial import way_by_trial
from lorafit.training import language_model_loss_sums

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "vocab_size": 41,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GROUPS = {"num_key_value_heads": 2, "head_dim": 8}
MIXED = ["sliding_attention", "full_attention"] * 2
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

# What each differs in from SIZES, and the fastest ways that are right: to read several texts, and to decode.
UNKNOWN: dict[str, tuple[dict[str, Any], str, str]] = {
    "gpt_neo": ({"attention_types": [[["global", "local"], 2]], "window_size": 4}, "padded", "reorder"),
    "qwen3_moe": ({**GROUPS, **EXPERTS, "sliding_window": 4, "use_sliding_window": True}, "packed", "tree"),
    "starcoder2": ({"sliding_window": 4, "num_key_value_heads": 2}, "packed", "tree"),
    "cohere2": ({**GROUPS, "sliding_window": 4, "layer_types": MIXED}, "packed", "tree"),
    "mixtral": ({**GROUPS, **EXPERTS, "sliding_window": 4}, "packed", "tree"),
    "gpt_oss": ({**GROUPS, **EXPERTS, "sliding_window": 4, "layer_types": MIXED}, "packed", "tree"),
    "bloom": ({}, "padded", "reorder"),
    "opt": ({"ffn_dim": 48, "word_embed_proj_dim": 32}, "packed", "reorder"),
    "gptj": ({"rotary_dim": 4}, "padded", "reorder"),
    "falcon": ({}, "padded", "reorder"),
    "mamba": ({"num_attention_heads": 0, "state_size": 4}, "padded", "reread"),
    "rwkv": ({"attention_hidden_size": 32}, "padded", "reread"),
    "falcon_h1": ({**GROUPS, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}, "padded", "reorder"),
}
# Attention in chunks, and a temperature that counts the tokens of the whole row.
LLAMA4 = {**GROUPS, "attention_chunk_size": 4, "intermediate_size_mlp": 48, "num_local_experts": 2}
UNKNOWN["llama4_text"] = (LLAMA4, "padded", "separate")

PAIRS = [
    EncodedPair((4, 9, 1, 22), (7, 22, 3)),
    EncodedPair((13, 2, 5), (2, 8, 28, 6, 11, 19, 4, 1)),
    EncodedPair((1, 2, 3, 4, 5, 6), (19, 3)),
]
PROMPTS = [[4, 9, 1, 22], [7], [13, 2, 2, 8, 28, 6, 19]]


def config_of(model_type: str, **changes: Any) -> PretrainedConfig:
    """Small, with a window that is shorter than the texts."""
    return AutoConfig.for_model(model_type, **{**SIZES, **UNKNOWN[model_type][0], **changes})


def net_of(model_type: str) -> Any:
    """With weights large enough for its opinions to differ."""
    torch.manual_seed(0)
    net: PreTrainedModel = AutoModelForCausalLM.from_config(config_of(model_type)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return net


def loss_alone(net: PreTrainedModel) -> Tensor:
    total = torch.zeros(())
    for pair in PAIRS:
        ids = torch.tensor([pair.inputs(64)])
        logits = net(ids, **accepted(net, use_cache=False)).logits[0, torch.tensor(pair.target_mask(64))]
        total = total + F.cross_entropy(logits, torch.tensor(pair.targets(64)), reduction="sum")
    return total


def agrees(net: PreTrainedModel, batch: SequenceBatch, expected: Tensor, gradients: list[Tensor]) -> None:
    loss = language_model_loss_sums(net, batch, [0.0])[0]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(loss, list(net.parameters()), materialize_grads=True)
    for ours, theirs in zip(found, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_a_shortcut_is_taken_only_where_a_small_copy_gives_the_same(model_type: str) -> None:
    """For a config as large as real ones, and for one with a short window."""
    _, reading, decoding = UNKNOWN[model_type]
    for config in (AutoConfig.for_model(model_type), config_of(model_type)):
        family = family_of(config)
        assert not is_proven(family)
        assert (way_to_read(family, config, "text"), way_to_decode(config)) == (reading, decoding)


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_losses_and_gradients_are_those_of_one_text_at_a_time(model_type: str) -> None:
    net = net_of(model_type)
    expected = loss_alone(net)
    gradients = list(torch.autograd.grad(expected, list(net.parameters()), materialize_grads=True))
    if way_to_read(family_of(net.config), net.config, "text") == "packed":
        take_packed_rows(net)
        agrees(net, pack(PAIRS, 64), expected, gradients)
    agrees(net, pad(PAIRS, 64, 0), expected, gradients)


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_decoding_is_that_of_transformers(model_type: str) -> None:
    net = net_of(model_type)
    greedy = GenerationConfig(max_new_tokens=9, do_sample=False, pad_token_id=0)
    net.generation_config.eos_token_id = None
    theirs = [net.generate(torch.tensor([prompt]), greedy)[0, len(prompt) :].tolist() for prompt in PROMPTS]
    assert generate_all(net, PROMPTS, Greedy(max_new_tokens=9, eos_token_ids=())) == theirs


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_trial_finds_what_is_known_of_a_family(model_type: str) -> None:
    family = FAMILIES[model_type]
    window: dict[str, Any] = {"sliding_window": 6, "use_sliding_window": True, "max_window_layers": 1}
    config = family.tiny_config(None, vocab_size=41, **window)
    for kind in family.heads:
        assert way_by_trial(family, config, kind) == way_to_read(family, config, kind)


def test_a_window_that_is_lost_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of("starcoder2")
    family = family_of(config)
    assert way_by_trial(family, config, "text") == "packed"

    def lost(**kwargs: Any) -> Tensor | None:
        return packed_mask(**kwargs) if kwargs["attention_mask"] is not None else None

    AttentionMaskInterface.register(PACKED_ATTENTION, lost)
    monkeypatch.setattr(verdicts, "_found", {})
    monkeypatch.setattr(verdicts, "source_hash", lambda *_: "another program")
    try:
        assert way_by_trial(family, config, "text") == "padded"
    finally:
        AttentionMaskInterface.register(PACKED_ATTENTION, packed_mask)


def test_an_encoder_that_mixes_padding_in_reads_one_text_at_a_time() -> None:
    config = AutoConfig.for_model("fnet")
    assert way_to_read(family_of(config), config, "label") == "single"


def test_where_no_copy_can_be_made_it_is_done_as_transformers_does() -> None:
    config = AutoConfig.for_model("gemma3n_text")
    assert (way_to_read(family_of(config), config, "text"), way_to_decode(config)) == ("padded", "reorder")


def test_a_trial_leaves_the_random_numbers_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(verdicts, "_found", {})
    config = config_of("starcoder2")
    family = family_of(config)
    before = torch.get_rng_state()
    way_to_read(family, config, "text")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_verdict_is_found_out_once_for_a_version_and_what_a_config_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[str] = []

    def find_out() -> str:
        asked.append("")
        return "an answer"

    def answer(**changes: Any) -> int:
        """How often something was found out in all."""
        monkeypatch.setattr(verdicts, "_found", {})  # as another process
        config = AutoConfig.for_model("mistral", **changes)
        assert verdicts.verdict("a question", config, find_out) == "an answer"
        return len(asked)

    assert answer() == 1
    assert answer(use_cache=False) == 1
    assert answer(sliding_window=7) == 2
    monkeypatch.setattr("lorafit.models.trials.verdicts.transformers.__version__", "6.0.0")
    assert answer() == 3
    for path in (tmp_path / "lorafit" / "architectures").iterdir():
        path.write_text("{")
    assert answer() == 4
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert answer() == 5
