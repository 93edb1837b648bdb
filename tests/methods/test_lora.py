"""LoRA with parts of the base that train whole beside the adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, RecipeError
from lorafit.methods import LoRA
from lorafit.models import Model, skeleton
from lorafit.verbs.export import export
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter
from tests.support.peft_adapters import load_net, logits, peft_logits
from tests.support.tiny_models import outputs, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft", "ignore::DeprecationWarning")


def trained_names(model: Model, *also_train: str) -> set[str]:
    trained = LoRA(r=2, also_train=also_train).attach(model)
    return {name for name in trained if "lora_" not in name}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("ln_f",), {"transformer.ln_f.weight", "transformer.ln_f.bias"}),
        (("h.1.ln_*.weight",), {"transformer.h.1.ln_1.weight", "transformer.h.1.ln_2.weight"}),
        (("lm_head",), {"lm_head.weight"}),
        (("wte", "lm_head"), {"lm_head.weight", "transformer.wte.weight"}),
        (("h.0.attn.c_attn.bias",), {"transformer.h.0.attn.c_attn.bias"}),
    ],
)
def test_patterns_mean_modules_and_parameters(patterns: tuple[str, ...], names: set[str]) -> None:
    model = tiny_model("gpt2")
    before = outputs(model)
    assert trained_names(model, *patterns) == names
    assert torch.equal(outputs(model), before)


def test_a_tied_weight_that_trains_gets_storage_of_its_own() -> None:
    model = tiny_model("gpt2")
    table = model.net.get_parameter("transformer.wte.weight")
    assert model.net.get_parameter("lm_head.weight") is table
    trained_names(model, "lm_head")
    head = model.net.get_parameter("lm_head.weight")
    assert head is not table
    outputs(model).square().sum().backward()
    assert table.grad is None
    assert head.grad is not None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("lm_haed", r"also_train: 'lm_haed' matches no parameter of this gpt2; did you mean 'lm_head'"),
        (
            "c_attn",
            r"also_train: 'transformer\.h\.0\.attn\.c_attn\.weight' would train whole beside its own adapter",
        ),
    ],
)
def test_what_cannot_train_whole_is_named(pattern: str, words: str) -> None:
    config = tiny_model("gpt2").net.config
    with pytest.raises(RecipeError, match=words):
        LoRA(r=2, also_train=(pattern,)).attach(skeleton(config, "text"))


@pytest.mark.parametrize(
    ("model_type", "tied", "also_train"),
    [
        ("gpt2", True, ("lm_head", "*.bias")),
        ("gpt2", True, ("wte",)),
        ("gpt2", False, ("lm_head", "ln_f")),
        ("llama", True, ("embed_tokens", "lm_head")),
        ("llama", True, ("norm",)),
    ],
)
def test_merged_and_exported_it_is_the_same_function(make_base, tmp_path, model_type, tied, also_train):
    base: Path = make_base(model_type, tie_word_embeddings=tied)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=8, also_train=also_train))
    assert verify(tmp_path / "adapter").ok
    expected = logits(restore(read_adapter(tmp_path / "adapter")).net)
    merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice())
    torch.testing.assert_close(logits(load_net(tmp_path / "merged")), expected, rtol=0, atol=1e-4)
    export(tmp_path / "adapter", tmp_path / "peft", "peft", BaseChoice())
    torch.testing.assert_close(peft_logits(base, tmp_path / "peft"), expected, rtol=0, atol=1e-4)
    shutil.rmtree(tmp_path / "merged")
    merge(tmp_path / "adapter", tmp_path / "merged", BaseChoice(), "bfloat16", 20_000)
    tensors = {name for file in (tmp_path / "merged").glob("*.safetensors") for name in load_file(file)}
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    splits = {"wte", "embed_tokens", "lm_head"} & set(also_train) and tied
    assert ("lm_head.weight" in tensors) == (not tied or bool(splits))
    assert config["tie_word_embeddings"] == (tied and not splits)


def test_what_a_format_cannot_hold_is_named(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, also_train=("ln_f.weight",)))
    with pytest.raises(AdapterError, match=r"ln_f\.weight: trained, but not the whole of its module"):
        export(tmp_path / "adapter", tmp_path / "out", "peft", BaseChoice())
    with pytest.raises(
        AdapterError, match=r"ln_f\.weight: trained whole, which the loralib format has no place for"
    ):
        export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"r": {"mlpp.*": 2, "default": 4}}, r"r: 'mlpp\.\*' matches no module that gets an adapter"),
        ({"r": {"h.0.*": 2}}, r"r: no pattern matches transformer\.h\.1\.attn\.c_attn; say 'default'"),
        (
            {"alpha": {"h.0.*": 2.0, "c_attn": 4.0}},
            r"alpha: 'h\.0\.\*' and 'c_attn' both match transformer\.h\.0\.attn\.c_attn, with 2 and 4",
        ),
        ({"exclude": ("c_fc",)}, r"exclude: 'c_fc' matches nothing that targets mean"),
        ({"exclude": ("c_fk",)}, r"exclude: target 'c_fk' matches no module"),
        ({"exclude": ("c_attn",)}, r"exclude: 'c_attn' leaves nothing"),
        (
            {"targets": ("c_attn",), "exclude": ("query",)},
            r"exclude: 'query' is a part of .*c_attn, which targets",
        ),
    ],
)
def test_patterns_that_mean_nothing_or_two_things_are_refused(options, words):
    config = tiny_model("gpt2").net.config
    with pytest.raises(RecipeError, match=rf"\[method\] {words}"):
        LoRA(**options).attach(skeleton(config, "text"))


def test_a_slice_can_be_excluded_in_some_blocks():
    model = tiny_model("gpt2")
    LoRA(r=2, targets=("query", "value"), exclude=("h.1.value", "h.2.*")).attach(model)
    enabled = {name: layer.enable_lora for name, layer in lora.adapted_layers(model.net).items()}
    assert enabled == {
        "transformer.h.0.attn.c_attn": [True, False, True],
        "transformer.h.1.attn.c_attn": [True, False, False],
    }


def test_options_that_came_later_are_left_out_at_their_defaults():
    assert LoRA().options().keys() == {
        "name", "r", "alpha", "dropout", "targets", "also_train", "init", "init_from"
    }  # fmt: skip
    options = LoRA(scaling="rslora", r={"default": 4}).options()
    assert (options["scaling"], options["r"]) == ("rslora", {"default": 4})
