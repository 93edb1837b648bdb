"""lorafit imports what PEFT saves: the same function, bit-equal tensors; what it cannot import is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, DamagedError, NotFoundError, RecipeError
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from tests.support.peft_adapters import CONFIG, check_the_whole_way, edit_config, load_net, save_peft

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:peft", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


def _base(folder: Path, output: str) -> nn.Module:
    if output == "text":
        return AutoModelForCausalLM.from_pretrained(folder)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)


@pytest.mark.parametrize(
    ("model_type", "config", "task"),
    [
        ("gpt2", {"target_modules": ["c_attn"], "lora_alpha": 12, "r": 4, "fan_in_fan_out": True}, None),
        ("gpt2", {"target_modules": ["c_proj"], "r": 4, "fan_in_fan_out": True, "use_rslora": True}, None),
        ("llama", {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 3, "r": 2}, None),
        ("roberta", {"target_modules": ["query", "value"], "r": 2, "task_type": "SEQ_CLS"}, HEAD),
    ],
)
def test_adapters_that_peft_made_are_imported(make_base, tmp_path, model_type, config, task):
    from peft import LoraConfig, get_peft_model

    base = make_base(model_type)
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_lora_weights": False, **config}
    model = get_peft_model(_base(base, "label" if task else "text"), LoraConfig(**options)).eval()
    model.save_pretrained(tmp_path / "peft")
    import_adapter(tmp_path / "peft", tmp_path / "adapter", "peft", str(base), ImportOptions())
    ids = torch.arange(1, 25).view(2, 12)
    with torch.no_grad():
        ours = restore(read_adapter(tmp_path / "adapter")).net(input_ids=ids).logits
        torch.testing.assert_close(ours, model(input_ids=ids).logits, rtol=1e-5, atol=1e-5)
    export(tmp_path / "adapter", tmp_path / "again", "peft", BaseChoice())
    first = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    second = load_file(tmp_path / "again" / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def _import(folder: Path, base: Path, **given: Any) -> Any:
    return import_adapter(folder / "peft", folder / "adapter", "peft", str(base), ImportOptions(**given))


def _refused(
    folder: Path, base: Path, words: str, kind: type[Exception] = AdapterError, **given: Any
) -> None:
    with pytest.raises(kind, match=words):
        _import(folder, base, **given)
    assert not (folder / "adapter").exists()


def test_what_cannot_be_imported_is_named(gpt2_base, tmp_path):
    save_peft(gpt2_base, tmp_path / "peft")
    _refused(tmp_path, gpt2_base, "peft files hold their own alpha", RecipeError, alpha=3)
    for values, words in (
        ({"use_dora": True}, "use_dora = True: .*c_attn' has no magnitude"),
        ({"use_qalora": True}, "use_qalora = True: has no counterpart"),
        (
            {"use_dora": False, "use_qalora": False, "peft_type": "IA3"},
            "peft_type = 'IA3': only LoRA can be imported",
        ),
        ({"peft_type": "LORA", "target_modules": ["c_proj"]}, "target_modules = .* would not adapt"),
        ({"target_modules": ["c_attn", "c_fc"]}, "target_modules = .* means .*c_fc' too"),
        ({"target_modules": ["c_attn"], "r": 8}, "r = 8: .* is of rank 4"),
    ):
        edit_config(tmp_path / "peft", **values)
        _refused(tmp_path, gpt2_base, words)
    (tmp_path / "peft" / CONFIG).write_text("[" * 10_000)
    _refused(tmp_path, gpt2_base, "not a LoRA configuration", DamagedError)
    (tmp_path / "peft" / CONFIG).unlink()
    _refused(tmp_path, gpt2_base, "so it is not a PEFT adapter", NotFoundError)


@pytest.mark.parametrize(
    ("model_type", "targets", "init"),
    [
        ("gpt2", ["c_attn", "c_proj"], "pissa"),
        ("llama", ["q_proj", "down_proj"], "pissa"),
        ("llama", ["q_proj", "up_proj"], "olora"),
        ("gpt2", ["c_attn"], "orthogonal"),
        ("llama", ["v_proj", "o_proj"], "mica"),
        ("mistral", ["k_proj"], "eva"),
    ],
)
def test_an_init_that_changes_the_base_is_taken_back(make_base, tmp_path, model_type, targets, init):
    base = make_base(model_type)
    save_peft(base, tmp_path / "peft", target_modules=targets, init_lora_weights=init, use_rslora=True)
    check_the_whole_way(base, tmp_path)


def test_an_init_of_full_rank_has_no_higher_rank_than_the_layer(make_base, tmp_path):
    base = make_base("llama")
    save_peft(base, tmp_path / "peft", target_modules=["v_proj"], init_lora_weights="pissa", r=16)
    check_the_whole_way(base, tmp_path)
    assert read_adapter(tmp_path / "adapter").card.method["r"] == 16


def test_an_init_that_cannot_be_done_again_is_refused_by_name(gpt2_base, tmp_path):
    save_peft(gpt2_base, tmp_path / "peft", target_modules=["attn.c_proj"], init_lora_weights="olora")
    _refused(
        tmp_path,
        gpt2_base,
        "init_lora_weights = 'olora': .*attn.c_proj': PEFT takes its weight the wrong way",
    )
    for init, words in (
        ("pissa_niter_4", "was drawn at random"),
        ("corda", "made out of data"),
        ("lora_ga", "made out of data"),
        ("loftq", "quantised"),
        ("new", "no such init is known here"),
    ):
        edit_config(tmp_path / "peft", init_lora_weights=init)
        _refused(tmp_path, gpt2_base, f"init_lora_weights = '{init}': .*{words}")
    edit_config(tmp_path / "peft", init_lora_weights="pissa")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text((gpt2_base / "config.json").read_text())
    _refused(tmp_path, bare, "'pissa' changes the base, and the weights of .* are not here to do the same")


@pytest.mark.parametrize(
    ("tied", "modules"),
    [
        (True, ["lm_head"]),
        (True, ["wte"]),
        (True, ["wte", "lm_head", "ln_f"]),
        (False, ["lm_head", "ln_1"]),
        (False, ["mlp"]),
    ],
)
def test_a_module_that_trained_whole_is_carried_everywhere(make_base, tmp_path, tied, modules):
    base = make_base("gpt2", tie_word_embeddings=tied)
    save_peft(base, tmp_path / "peft", modules_to_save=modules)
    check_the_whole_way(base, tmp_path)
    first = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    again = load_file(tmp_path / "exported" / "adapter_model.safetensors")
    assert first.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("model_type", "output"), [("gpt2", "text"), ("roberta", "label"), ("qwen2", "text")]
)
@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_trained_biases_are_carried_everywhere(make_base, tmp_path, model_type, output, bias):
    base = make_base(model_type)
    targets = {"gpt2": ["c_attn"], "roberta": ["query"], "qwen2": ["q_proj"]}[model_type]
    save_peft(base, tmp_path / "peft", output, target_modules=targets, bias=bias)
    check_the_whole_way(base, tmp_path, output)


def test_what_would_be_saved_and_is_not_there_is_missed_by_name(gpt2_base, tmp_path):
    save_peft(gpt2_base, tmp_path / "peft")
    for modules, words in (
        (["ln_f"], "the file does not hold 'transformer.ln_f"),
        (["c_attn"], "by it PEFT would not adapt"),
        (["model"], "means the whole model"),
    ):
        edit_config(tmp_path / "peft", modules_to_save=modules)
        _refused(tmp_path, gpt2_base, f"modules_to_save = .*{words}")


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_that_equals_the_bases_has_no_effect(make_base, tmp_path, tied):
    base = make_base("llama", tie_word_embeddings=tied)
    save_peft(base, tmp_path / "peft", target_modules=["q_proj", "embed_tokens"])
    assert any("base_layer" in name for name in load_file(tmp_path / "peft" / "adapter_model.safetensors"))
    check_the_whole_way(base, tmp_path)


def test_an_embedding_that_is_not_the_bases_is_named_with_both_sizes(make_base, tmp_path):
    base = make_base("llama")
    net = load_net(base)
    size = net.config.vocab_size
    net.resize_token_embeddings(size + 4)
    save_peft(base, tmp_path / "peft", net=net, target_modules=["q_proj", "embed_tokens"])
    _refused(tmp_path, base, rf"a vocabulary of {size + 4} tokens, and the base one of {size}: .*resize")
    other = make_base("llama", seed=1)
    save_peft(other, tmp_path / "peft", target_modules=["q_proj", "embed_tokens"])
    _refused(tmp_path, base, "'model.embed_tokens.weight' differs from the base's by up to")


@pytest.mark.parametrize(("model_type", "layer"), [("bert", "pooler"), ("deberta-v2", "pooler")])
def test_a_head_that_peft_did_not_save_comes_from_the_base_or_is_missed_by_name(
    make_base, tmp_path, model_type, layer
):
    """BERT's pooler lies in the base; DeBERTa's does not."""
    targets = ["query"] if model_type == "bert" else ["query_proj"]
    bare = make_base(model_type)  # a masked language model, which has no pooler
    save_peft(bare, tmp_path / "peft", "label", target_modules=targets)
    _refused(
        tmp_path,
        bare,
        rf"does not hold '.*{layer}.dense.*not saved; train again.*modules_to_save = \['.*{layer}",
    )
    whole = tmp_path / "whole"
    load_net(bare, "label").save_pretrained(whole)
    for file in bare.glob("*token*"):
        (whole / file.name).write_bytes(file.read_bytes())
    check_the_whole_way(whole, tmp_path, "label")
    shutil.rmtree(tmp_path / "peft")
    save_peft(bare, tmp_path / "peft", "label", target_modules=targets, modules_to_save=[layer])
    for folder in ("adapter", "merged", "exported", "again"):
        shutil.rmtree(tmp_path / folder)
    check_the_whole_way(bare, tmp_path, "label")


@pytest.mark.parametrize(
    ("targets", "values"),
    [
        (["c_attn", "c_fc"], {"rank_pattern": {"c_fc": 2}, "alpha_pattern": {r"h\.1\..*": 24}}),
        (["c_attn"], {"rank_pattern": {r"h\.0\.attn\.c_attn": 6}, "use_rslora": True}),
        (["c_attn", "c_proj", "wte"], {"alpha_pattern": {"wte": 3, "c_proj": 5}}),
    ],
)
def test_ranks_and_alphas_of_single_modules_are_carried(make_base, tmp_path, targets, values):
    base = make_base("gpt2", tie_word_embeddings=False)
    save_peft(base, tmp_path / "peft", target_modules=targets, **values)
    check_the_whole_way(base, tmp_path)


def test_modules_in_some_layers_only_are_these(make_base, tmp_path):
    base = make_base("gpt2")
    save_peft(
        base, tmp_path / "peft", layers_to_transform=[1], layers_pattern="h", exclude_modules=r".*mlp.*"
    )
    check_the_whole_way(base, tmp_path)
    edit_config(tmp_path / "peft", layers_to_transform=[0])
    shutil.rmtree(tmp_path / "adapter")
    _refused(tmp_path, base, "layers_to_transform = .* would not adapt 'transformer.h.1.attn.c_attn'")


def test_an_adapter_of_the_head_is_merged_into_the_head(make_base, tmp_path):
    base = make_base("bert")
    whole = tmp_path / "whole"
    load_net(base, "label").save_pretrained(whole)
    for file in base.glob("*token*"):
        (whole / file.name).write_bytes(file.read_bytes())
    save_peft(whole, tmp_path / "peft", "label", target_modules=["query", "pooler.dense"])
    check_the_whole_way(whole, tmp_path, "label")


def test_the_padding_token_of_an_adapted_embedding_must_stay(make_base, tmp_path):
    base = make_base("bert")
    save_peft(
        base, tmp_path / "peft", "label", target_modules=["word_embeddings"], modules_to_save=["pooler"]
    )
    _refused(tmp_path, base, "changes the row of the padding token")
