"""Merged model folders: what is written, and that any other program loads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from lorafit import lora
from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import LorafitError
from lorafit.interop.models import hf_folder
from lorafit.methods import Full, LoRA
from lorafit.tasks import Classification
from tests.support.adapter_fixtures import make_adapter
from tests.support.merged_models import merge_to, weights

HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


def _loaded(folder: Path, output: str) -> torch.nn.Module:
    kind: Any = AutoModelForCausalLM if output == "text" else AutoModelForSequenceClassification
    net, report = kind.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"]
    return net.eval()


def _deberta(folder: Path) -> Path:
    """A classifier in the place of the causal model, which this architecture has not."""
    sizes = {"vocab_size": 350, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 128, "type_vocab_size": 0}
    options = {"conv_kernel_size": 3, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    config = AutoConfig.for_model("deberta-v2", **sizes, **options, position_buckets=8, num_labels=2)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("model_type", "targets", "task"),
    [
        ("gpt2", ("query", "value"), None),  # a MergedLinear of Conv1D
        ("gpt2", ("c_attn", "output", "up"), None),  # Linear layers of Conv1D
        ("gpt2", ("wte", "key"), None),  # an embedding that is tied to the head
        ("gpt2", ("lm_head",), None),  # the head that is tied to it
        ("gpt2", ("wte", "lm_head"), None),  # both
        ("llama", ("query", "value", "down"), None),
        ("roberta", ("query", "value"), HEAD),
        ("bert", ("query", "word_embeddings"), HEAD),  # with a padding token
        ("deberta-v2", ("query", "conv"), HEAD),  # with a convolution
    ],
)
def test_any_other_program_loads_the_merged_model_and_gets_the_same_answers(
    make_base, tmp_path, model_type, targets, task
):
    base = _deberta(make_base()) if model_type == "deberta-v2" else make_base(model_type)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=6, targets=targets), task)
    result = merge_to(tmp_path / "adapter", tmp_path / "merged")
    model = restore(read_adapter(tmp_path / "adapter"))
    ids = torch.arange(2, 22).view(2, 10)
    with torch.no_grad():
        merged = _loaded(tmp_path / "merged", model.output)(input_ids=ids).logits
        torch.testing.assert_close(merged, model.net(input_ids=ids).logits, rtol=1e-4, atol=1e-4)
    assert result.answers is not None
    assert result.answers.max_difference < 1e-4
    assert result.weights.least_survived == pytest.approx(1, abs=1e-3)


def test_only_adapted_tensors_change_and_the_rest_is_copied(adapter, gpt2_base, tmp_path):
    merge_to(adapter, tmp_path / "merged")
    before, after = weights(gpt2_base), weights(tmp_path / "merged")
    assert list(before) == list(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("c_attn.weight")}
    model = restore(read_adapter(adapter))
    for name, layer in model.net.named_modules():
        if isinstance(layer, lora.LoRALayer):
            layer.merge()
            assert layer.merged_weight is not None
            assert torch.equal(after[f"{name}.weight"], layer.merged_weight)
    others = {file.name for file in gpt2_base.iterdir()} | {"merge.json"}
    assert {file.name for file in (tmp_path / "merged").iterdir()} == others


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_another_dtype_is_rounded_to_once(adapter, tmp_path, dtype):
    result = merge_to(adapter, tmp_path / "merged", dtype=dtype)
    exact = tmp_path / "exact"
    merge_to(adapter, exact)
    kind = getattr(torch, dtype)
    for name, tensor in weights(tmp_path / "merged").items():
        assert torch.equal(tensor, weights(exact)[name].to(kind))
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == dtype
    assert result.weights.least_survived == pytest.approx(1, abs=0.1)


def test_a_half_precision_base_keeps_its_dtype(make_base, tmp_path):
    base = make_base("gpt2", seed=3)
    save_file(
        {n: t.bfloat16() for n, t in weights(base).items()}, base / "model.safetensors", {"format": "pt"}
    )
    make_adapter(base, tmp_path / "adapter", strength=0.5)
    result = merge_to(tmp_path / "adapter", tmp_path / "merged")
    after = weights(tmp_path / "merged")
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    name = "transformer.h.1.attn.c_attn.weight"
    model = restore(read_adapter(tmp_path / "adapter"))
    layer = model.net.get_submodule(name.removesuffix(".weight"))
    assert isinstance(layer, lora.MergedLinear)
    exact = layer.weight.double() + layer.delta_weight().double()
    assert torch.equal(after[name], exact.float().bfloat16())
    assert 0.5 < result.weights.least_survived < 1.5


@pytest.mark.parametrize("name", ["embeddings.position_ids", "a.first.mask", "zz.last.count"])
def test_whole_numbers_in_a_base_s_file_are_no_precision(make_base, tmp_path, name):
    """Hub checkpoints of BERT and RoBERTa hold their positions as int64 beside the weights."""
    base = make_base("bert")
    save_file(
        {**weights(base), name: torch.arange(128).view(1, -1)}, base / "model.safetensors", {"format": "pt"}
    )
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=6), HEAD)
    result = merge_to(tmp_path / "adapter", tmp_path / "merged")
    assert result.answers is not None
    assert result.answers.max_difference <= result.answers.allowed < 0.1
    assert torch.equal(weights(tmp_path / "merged")[name], torch.arange(128).view(1, -1))


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_sharded_base_is_merged_shard_by_shard(make_base, tmp_path, suffix):
    base = make_base("gpt2", seed=4)
    make_adapter(base, tmp_path / "adapter")
    whole = tmp_path / "whole"
    merge_to(tmp_path / "adapter", whole)
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(base, max_shard_size="40KB")
    (base / "model.safetensors").unlink()
    shards = sorted(base.glob("model-*.safetensors"))
    assert len(shards) > 3
    if suffix == "bin":
        for shard in shards:
            torch.save(load_file(shard), base / f"pytorch_{shard.stem}.bin")
            shard.unlink()
    result = merge_to(tmp_path / "adapter", tmp_path / "merged")  # its hash is the one of the whole
    merged = tmp_path / "merged"
    assert sorted(file.name for file in merged.glob("*.safetensors")) == [shard.name for shard in shards]
    for shard in shards:
        with safe_open(merged / shard.name, "pt") as file:
            index = json.loads((merged / "model.safetensors.index.json").read_text())["weight_map"]
            assert {name for name, where in index.items() if where == shard.name} == set(file.keys())
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(merged).items())
    assert result.answers is not None
    assert result.answers.max_difference < 1e-4
    _loaded(merged, "text")


def test_max_shard_size_asks_for_another_division(adapter, gpt2_base, tmp_path):
    merge_to(adapter, tmp_path / "merged", max_shard_bytes=30_000)
    shards = sorted((tmp_path / "merged").glob("model-*.safetensors"))
    assert len(shards) > 3
    assert all(len(load_file(s)) == 1 or s.stat().st_size < 31_500 for s in shards)
    assert weights(tmp_path / "merged").keys() == weights(gpt2_base).keys()
    _loaded(tmp_path / "merged", "text")


def test_a_pickled_base_with_tied_weights_and_a_bare_backbone(make_base, tmp_path):
    base = make_base("gpt2", seed=6)
    tensors = {n.removeprefix("transformer."): t for n, t in weights(base).items()}
    tensors["lm_head.weight"] = tensors["wte.weight"]
    torch.save(tensors, base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, targets=("query", "wte")))
    merge_to(tmp_path / "adapter", tmp_path / "merged")
    after = weights(tmp_path / "merged")
    assert torch.equal(after["lm_head.weight"], tensors["wte.weight"])
    assert not torch.equal(after["wte.weight"], tensors["wte.weight"])
    model, net = restore(read_adapter(tmp_path / "adapter")), _loaded(tmp_path / "merged", "text")
    ids = torch.arange(10)[None]
    torch.testing.assert_close(
        net(input_ids=ids).logits, model.net(input_ids=ids).logits, rtol=1e-4, atol=1e-4
    )


def test_code_in_a_pickled_base_is_not_run(adapter, gpt2_base, tmp_path):
    base = Path(shutil.copytree(gpt2_base, tmp_path / "base"))
    (base / "model.safetensors").unlink()
    marker = tmp_path / "ran"
    (base / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    with pytest.raises(LorafitError, match="cannot be read with weights_only"):
        merge_to(adapter, tmp_path / "merged", base=BaseChoice(str(base), force=True))
    assert not marker.exists()


def test_full_fine_tuning_replaces_every_weight(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", Full(), strength=0.01)
    merge_to(tmp_path / "adapter", tmp_path / "merged")
    assert all(
        torch.equal(tensor, read_adapter(tmp_path / "adapter").tensors[name])
        for name, tensor in weights(tmp_path / "merged").items()
    )


def test_a_full_disk_is_noticed_before_anything_is_written(adapter, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    written: list[Path] = []
    monkeypatch.setattr(hf_folder, "write_file", lambda path, _: written.append(path))
    with pytest.raises(LorafitError, match=r"only 100\.0 kB are free; nothing was written"):
        merge_to(adapter, tmp_path / "merged")
    assert not written
    assert not (tmp_path / "merged").exists()
