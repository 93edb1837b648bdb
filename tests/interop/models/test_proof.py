"""What is proven of a merged model, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafit import lora
from lorafit.adapters import read_adapter, restore
from lorafit.errors import AdapterError, NotAppliedError
from lorafit.methods import Full
from tests.support.adapter_fixtures import make_adapter
from tests.support.merged_models import merge_to, weights, with_other


def test_the_certificate_stands_beside_the_weights(adapter, tmp_path):
    result = merge_to(adapter, tmp_path / "merged")
    certificate = json.loads((tmp_path / "merged" / "merge.json").read_text())
    card = read_adapter(adapter).card
    assert certificate["adapter"]["sha256"] == card.files["adapter.safetensors"].sha256
    assert certificate["base"] == card.base.model_dump()
    assert certificate["proof"]["tensors"] == len(weights(tmp_path / "merged"))
    assert certificate["proof"]["answers"]["reference"] == "the trained model"
    assert result.answers is not None
    assert certificate["proof"]["answers"]["max_difference"] == result.answers.max_difference
    layers = {layer["name"]: layer for layer in certificate["layers"]}
    model = restore(read_adapter(adapter))
    layer = model.net.get_submodule("transformer.h.0.attn.c_attn")
    assert isinstance(layer, lora.MergedLinear)
    shown = layers["transformer.h.0.attn.c_attn.weight"]
    assert shown["delta_norm"] == pytest.approx(layer.delta_weight().norm().item(), rel=1e-4)
    assert shown["base_norm"] == pytest.approx(layer.weight.norm().item(), rel=1e-4)
    assert shown["num_changed"] == 2 * 32 * 32  # query and value of three slices


def test_without_a_fingerprint_base_and_adapter_are_computed(adapter, tmp_path):
    result = merge_to(with_other(adapter, tmp_path / "bare", fingerprint=None), tmp_path / "merged")
    assert result.answers is not None
    assert result.answers.reference == "base + adapter"
    assert 0 <= result.answers.max_difference < 1e-4
    assert result.answers.largest_logit > 0.1


@pytest.mark.parametrize("factor", [0.0, 1e-7])
def test_a_merge_that_changes_nothing_is_refused(adapter, tmp_path, factor):
    tensors = {name: factor * tensor for name, tensor in read_adapter(adapter).tensors.items()}
    with pytest.raises(NotAppliedError, match="merged weights equal the base's"):
        merge_to(with_other(adapter, tmp_path / "zero", tensors=tensors), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_merge_that_computes_something_else_is_refused(adapter, tmp_path):
    tensors = {name: -tensor for name, tensor in read_adapter(adapter).tensors.items() if "lora_A" in name}
    tensors = read_adapter(adapter).tensors | tensors
    with pytest.raises(AdapterError, match="does not compute what the trained model does"):
        merge_to(with_other(adapter, tmp_path / "other", tensors=tensors), tmp_path / "merged")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other"]


def test_what_rounding_takes_of_an_update_is_measured(adapter, tmp_path):
    """In bfloat16 an update that is far below the weights' steps is lost, and the proof says how much of it is left."""
    tensors = {name: tensor / 10 for name, tensor in read_adapter(adapter).tensors.items()}
    small = with_other(adapter, tmp_path / "small", tensors=tensors, fingerprint=None)
    result = merge_to(small, tmp_path / "merged", dtype="bfloat16")
    before, after = weights(Path(read_adapter(small).card.base.id)), weights(tmp_path / "merged")
    model = restore(read_adapter(small))
    for proof in result.weights.layers:
        layer = model.net.get_submodule(proof.name.removesuffix(".weight"))
        assert isinstance(layer, lora.LoRALayer)
        delta, moved = (
            layer.delta_weight().detach().double(),
            after[proof.name].double() - before[proof.name].double(),
        )
        assert proof.survived == pytest.approx(float((moved * delta).sum() / delta.square().sum()), rel=1e-4)
        assert proof.delta_norm == pytest.approx(delta.norm().item(), rel=1e-5)


def test_a_weight_that_was_trained_whole_has_no_share_to_lose(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", Full(), strength=0.01)
    result = merge_to(tmp_path / "adapter", tmp_path / "merged")
    trained, before = read_adapter(tmp_path / "adapter").tensors, weights(gpt2_base)
    assert {proof.name for proof in result.weights.layers} == trained.keys()
    for proof in result.weights.layers:
        assert proof.survived is None
        assert proof.delta_norm == pytest.approx(
            (trained[proof.name] - before[proof.name]).norm().item(), rel=1e-4
        )
