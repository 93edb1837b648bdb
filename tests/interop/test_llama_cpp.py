"""llama.cpp computes with an exported adapter, and with a merged model, what lorafit computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.methods import LoRA
from lorafit.verbs.export import export
from lorafit.verbs.merge import merge
from tests.support.adapter_fixtures import make_adapter
from tests.support.llama_cpp import END, PROMPTS, LlamaCpp, largest_difference, save_gguf
from tests.support.peft_adapters import load_net

ALLOWED = {"gpt2": 5e-5, "llama": 1e-5}  # GPT-2's GELU is a table of half-precision numbers in ggml
LEAST_EFFECT = 2e-3
ALL = ("query", "key", "value", "output", "up", "down")
SHARED_KEYS = {"num_key_value_heads": 2}
UNTIED = {"tie_word_embeddings": False}


def _exported(base: Path, folder: Path, method: LoRA) -> Path:
    make_adapter(base, folder / "adapter", method, strength=0.2)
    export(folder / "adapter", folder / "out", "gguf", BaseChoice())
    return folder / "out" / "adapter.gguf"


@pytest.mark.parametrize(
    ("model_type", "changes", "targets", "r"),
    [
        ("gpt2", {}, ("query", "value"), 4),  # two blocks side by side in B
        ("gpt2", {}, ("key",), 3),  # one block, with zeros above and below
        ("gpt2", {}, ("c_attn",), 2),  # no blocks
        ("gpt2", {}, ALL, 3),  # layers of rank 9 and of rank 3
        ("gpt2", {}, ("h.0.query", "h.1.attn.c_attn", "h.1.mlp.c_fc"), 2),
        ("gpt2", UNTIED, ("wte", "lm_head", "value"), 2),
        ("llama", {}, ALL, 4),
        ("llama", SHARED_KEYS, ("query", "key"), 2),  # rows of different heads trade places
        ("llama", SHARED_KEYS | UNTIED, ("all-linear", "embed_tokens", "lm_head"), 2),
    ],
)
def test_llama_cpp_and_lorafit_compute_the_same(make_base, tmp_path, model_type, changes, targets, r):
    base = make_base(model_type, **changes)
    file = _exported(base, tmp_path, LoRA(r=r, alpha=7, targets=targets))
    engine = LlamaCpp(save_gguf(base, tmp_path / "base.gguf"), file)
    adapted: Any = restore(read_adapter(tmp_path / "adapter")).net
    bare = load_net(base)
    assert largest_difference(engine, adapted) <= ALLOWED[model_type]
    assert largest_difference(engine, bare, {0: 0.0}) <= ALLOWED[model_type]  # scale 0 is the base
    assert largest_difference(engine, bare) > LEAST_EFFECT
    options = {"max_new_tokens": 24, "do_sample": False, "suppress_tokens": [END], "pad_token_id": END}
    for prompt in PROMPTS[:3]:
        text = adapted.generate(torch.tensor([prompt]), eos_token_id=None, **options)[0]
        assert engine.greedy(prompt, 24) == text[len(prompt) :].tolist()


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_two_adapters_at_once_are_their_sum(make_base, tmp_path, model_type):
    base = make_base(model_type)
    methods = LoRA(r=2, alpha=6, targets=("query", "value")), LoRA(r=3, alpha=4, targets=("value", "down"))
    files = [_exported(base, tmp_path / str(i), method) for i, method in enumerate(methods)]
    engine = LlamaCpp(save_gguf(base, tmp_path / "base.gguf"), *files)
    for i in range(2):
        merge(tmp_path / str(i) / "adapter", tmp_path / str(i) / "merged", BaseChoice())
    first, second = (load_net(tmp_path / str(i) / "merged") for i in range(2))
    assert largest_difference(engine, first, {0: 1.0, 1: 0.0}) <= ALLOWED[model_type]
    assert largest_difference(engine, second, {0: 0.0, 1: 1.0}) <= ALLOWED[model_type]
    bare, other = load_net(base).state_dict(), second.state_dict()
    first.load_state_dict({name: t + other[name] - bare[name] for name, t in first.state_dict().items()})
    assert largest_difference(engine, first, {0: 1.0, 1: 1.0}) <= ALLOWED[model_type]
