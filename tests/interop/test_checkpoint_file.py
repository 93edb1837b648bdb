"""A state dict is found in whatever a training program wraps it in, and what lies beside it is known or refused."""

from __future__ import annotations

from typing import Any

import pytest
import safetensors.torch
import torch

from lorafit.adapters import BaseChoice
from lorafit.errors import AdapterError, DamagedError
from lorafit.methods import LoRA
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from tests.support.adapter_fixtures import make_adapter
from tests.support.loralib_files import FILE, import_loralib, same_factors


def _wrap_lightning(tensors: dict[str, Any]) -> dict[str, Any]:
    state = {f"model.{n}": t for n, t in tensors.items()}
    more = {"epoch": 3, "global_step": 70, "pytorch-lightning_version": "2.4.0", "hyper_parameters": {"r": 4}}
    return {"state_dict": state, "optimizer_states": [{}], "lr_schedulers": [], "loops": {}, **more}


@pytest.mark.parametrize(
    "wrap",
    [
        _wrap_lightning,
        lambda t: {"model": {f"_orig_mod.{n}": v for n, v in t.items()}, "optimizer": {}, "best_loss": 0.5},
        lambda t: {"model_state_dict": {f"module._orig_mod.{n}": v for n, v in t.items()}, "epoch": 1},
        lambda t: {"state_dict": {"model": {f"_orig_mod.module.{n}": v for n, v in t.items()}}},
        lambda t: {n.replace(".attn.", "._orig_mod.attn."): v for n, v in t.items()},
        lambda t: {f"student.net.{n.removeprefix('transformer.')}": v for n, v in t.items()},
    ],
)
def test_a_state_dict_is_found_in_whatever_wraps_it(gpt2_file, gpt2_base, tmp_path, wrap):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    torch.save(wrap({n.removeprefix("module."): t for n, t in tensors.items()}), tmp_path / "x.ckpt")
    import_loralib(tmp_path / "x.ckpt", tmp_path / "adapter", gpt2_base)
    assert same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")


def test_llamas_own_name_is_no_wrapper_and_may_be_wrapped(make_base, tmp_path):
    base = make_base("llama")
    make_adapter(base, tmp_path / "made")
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    tensors = torch.load(tmp_path / "out" / FILE, weights_only=True)
    for i, prefix in enumerate(("", "model.", "bare")):
        names = {n: n.removeprefix("model.") if prefix == "bare" else prefix + n for n in tensors}
        torch.save({"state_dict": {names[n]: t for n, t in tensors.items()}}, tmp_path / f"{i}.ckpt")
        import_loralib(tmp_path / f"{i}.ckpt", tmp_path / f"again{i}", base)
        assert same_factors(tmp_path / f"again{i}", tmp_path / "made")


def test_safetensors_files_are_read(gpt2_file, gpt2_base, tmp_path):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    safetensors.torch.save_file(dict(tensors), tmp_path / "x.safetensors")
    import_loralib(tmp_path / "x.safetensors", tmp_path / "adapter", gpt2_base)
    assert same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")
    (tmp_path / "y.safetensors").write_bytes(b"no such thing")
    with pytest.raises(DamagedError, match="not a whole safetensors file"):
        import_loralib(tmp_path / "y.safetensors", tmp_path / "again", gpt2_base)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ema_state_dict": {}}, "'ema_state_dict' is neither a tensor of the model nor known"),
        ({"model": {"a": torch.ones(1)}}, "holds two models, 'model_state_dict' and 'model'"),
        ({"lora_alpha": 32}, "'lora_alpha' is neither"),
        ({"threshold": torch.ones(1)}, "'threshold' is neither"),
    ],
)
def test_what_lies_beside_the_state_dict_is_known_or_refused(gpt2_file, gpt2_base, tmp_path, more, words):
    document = torch.load(gpt2_file, weights_only=True)
    torch.save(document | more, tmp_path / "x.pt")
    with pytest.raises(AdapterError, match=words):
        import_loralib(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)


def test_a_head_is_found_inside_the_wrapper(make_base, tmp_path):
    base = make_base("roberta")
    make_adapter(
        base,
        tmp_path / "made",
        LoRA(r=2, alpha=8),
        Classification(name="classification", labels=("a", "b", "c")),
    )
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    torch.save(_wrap_lightning(torch.load(tmp_path / "out" / FILE, weights_only=True)), tmp_path / "x.ckpt")
    import_loralib(tmp_path / "x.ckpt", tmp_path / "again", base)
    assert same_factors(tmp_path / "again", tmp_path / "made")


def test_two_models_in_one_state_dict_are_refused(gpt2_file, gpt2_base, tmp_path):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    inner = {n.removeprefix("module."): t for n, t in tensors.items()}
    both = {f"{name}.{n}": t for name in ("student", "teacher") for n, t in inner.items()}
    torch.save(both, tmp_path / "x.pt")
    with pytest.raises(AdapterError, match=r"holds several models, in 'student\.' and 'teacher\.'"):
        import_loralib(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)
    torch.save({"_orig_mod.a": torch.ones(1), "a": torch.ones(1)}, tmp_path / "y.pt")
    with pytest.raises(AdapterError, match="which are one tensor of the model"):
        import_loralib(tmp_path / "y.pt", tmp_path / "adapter", gpt2_base)
