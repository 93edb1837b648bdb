"""DoRA's own laws; that it trains as PEFT's does is in tests/contract/test_variants.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lorafit import lora
from lorafit.adapters import BaseChoice, check_answers, read_adapter, restore
from lorafit.errors import AdapterError, RecipeError, WrongBaseError
from lorafit.methods import LoRA
from lorafit.verbs.export import export
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter
from tests.support.peft_adapters import check_the_whole_way, load_net, logits, save_peft
from tests.support.tiny_models import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::DeprecationWarning")


@pytest.fixture
def layer() -> lora.DoRALinear:
    """Two of three parts adapted, away from the start."""
    torch.manual_seed(0)
    layer = lora.DoRALinear.from_base(nn.Linear(5, 12), r=2, lora_alpha=6, enable_lora=(True, False, True))
    with torch.no_grad():
        layer.lora_B.normal_()
        layer.lora_magnitude.mul_(torch.rand(8) + 0.5)
    return layer


def test_the_adapted_rows_of_the_merged_weight_are_as_long_as_the_magnitudes(layer):
    x = torch.randn(3, 5)
    apart = layer(x)
    with layer.merged():
        torch.testing.assert_close(layer(x), apart, rtol=0, atol=1e-5)
        norms = layer.merged_weight.norm(dim=1)
        assert torch.equal(layer.merged_weight[4:8], layer.weight[4:8])
    torch.testing.assert_close(norms[[0, 1, 2, 3, 8, 9, 10, 11]], layer.lora_magnitude)


def test_the_norms_follow_every_change_of_what_they_are_made_of(layer):
    x = torch.randn(3, 5)
    before = layer(x)
    for tensor in (layer.lora_A, layer.lora_B, layer.weight):
        with torch.no_grad():
            tensor.mul_(1.5)
        now = layer(x)
        assert not torch.equal(now, before)
        with layer.merged():
            torch.testing.assert_close(layer(x), now, rtol=0, atol=1e-5)
        before = now
    with lora.scaled(layer, 0.5), layer.merged():
        merged = layer(x)
    with lora.scaled(layer, 0.5):
        torch.testing.assert_close(layer(x), merged, rtol=0, atol=1e-5)
    with lora.scaled(layer, 0.0):
        assert torch.equal(layer(x), layer.to_base()(x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": "pissa"}, "'dora' is about the norms of the weights that 'init' = 'pissa' takes apart"),
        ({"targets": ("wte",)}, r"dora: is for linear layers, and transformer.wte is none"),
    ],
)
def test_what_dora_is_not_for_is_said(options, words):
    with pytest.raises((RecipeError, ValueError), match=words):
        LoRA(dora=True, **options).attach(tiny_model("gpt2"))


def test_parts_of_a_module_are_merged_and_go_into_no_other_format(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, dora=True, targets=("query", "value")))
    assert verify(tmp_path / "adapter").ok
    expected = logits(restore(read_adapter(tmp_path / "adapter")).net)
    merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    torch.testing.assert_close(logits(load_net(tmp_path / "merged")), expected, rtol=0, atol=1e-4)
    for name, words in {
        "peft": "c_attn: PEFT rescales every output",
        "loralib": "loralib has no magnitudes",
        "gguf": "no place for lora_magnitude",
    }.items():
        with pytest.raises(AdapterError, match=words):
            export(tmp_path / "adapter", tmp_path / "out", name, BaseChoice())


def test_vllm_takes_one_scale_and_no_dora(make_base, tmp_path):
    base = make_base("llama")
    for method, words in (
        (LoRA(r=2, dora=True), "computes no DoRA"),
        (LoRA(r=2, alpha={"layers.0.*": 3.0, "default": 4.0}), "has one alpha / r for all modules"),
    ):
        make_adapter(base, tmp_path / words, method)
        with pytest.raises(AdapterError, match=words):
            export(tmp_path / words, tmp_path / "out", None, BaseChoice(), program="vllm")


def test_the_fault_of_a_wrong_base_is_found(make_base, tmp_path):
    base, other = make_base("llama"), make_base("llama", seed=1)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, dora=True))
    adapter = read_adapter(tmp_path / "adapter")
    with pytest.raises(WrongBaseError, match="without the adapter it answers otherwise"):
        check_answers(adapter, restore(adapter, base=str(other), force=True))


@pytest.mark.parametrize(
    ("model_type", "output", "config"),
    [
        (
            "gpt2",
            "text",
            {"target_modules": ["c_attn", "c_proj"], "use_rslora": True, "rank_pattern": {"c_proj": 2}},
        ),
        ("roberta", "label", {"target_modules": ["query", "value"]}),
    ],
)
def test_adapters_that_peft_made_come_and_go(make_base, tmp_path, model_type, output, config):
    base = make_base(model_type)
    save_peft(base, tmp_path / "peft", output, use_dora=True, **config)
    check_the_whole_way(base, tmp_path, output)
