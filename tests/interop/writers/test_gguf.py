"""GGUF files come back without a bit lost, and what they cannot hold is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from lorafit.adapters import BaseChoice, read_adapter
from lorafit.errors import AdapterError, DamagedError, LorafitError, NotFoundError
from lorafit.interop.gguf_layout import ARCHITECTURES
from lorafit.interop.readers import READERS
from lorafit.methods import LoRA
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from tests.support.adapter_fixtures import make_adapter, run_here

HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_adapters_of_every_architecture_come_back_without_a_bit_lost(make_base, tmp_path, model_type):
    base = make_base(model_type)
    make_adapter(base, tmp_path / "adapter", LoRA(r=3, alpha=0.7, targets=("all-linear",)))
    export(tmp_path / "adapter", tmp_path / "out", "gguf", BaseChoice())
    import_adapter(tmp_path / "out", tmp_path / "again", "gguf", str(base), ImportOptions())
    first, again = read_adapter(tmp_path / "adapter"), read_adapter(tmp_path / "again")
    assert first.tensors.keys() == again.tensors.keys()
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in first.tensors.items())
    assert (again.card.method["r"], again.card.method["alpha"]) == (3, pytest.approx(0.7, abs=1e-12))


def test_scales_that_differ_are_in_b(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, alpha=6, targets=("query", "value", "up")))
    export(tmp_path / "adapter", tmp_path / "out", "gguf", BaseChoice())
    reader = gguf.GGUFReader(tmp_path / "out" / "adapter.gguf")
    assert (
        reader.fields["adapter.lora.alpha"].contents() == 12
    )  # (6 / 2) times the fused projection's rank of 4
    factors = {tensor.name: torch.tensor(np.array(tensor.data)) for tensor in reader.tensors}
    ours = read_adapter(tmp_path / "adapter").tensors
    b = factors["blk.0.ffn_up.weight.lora_b"]
    assert torch.equal(b * (12 / 2), ours["transformer.h.0.mlp.c_fc.lora_B"] * (6 / 2))


@pytest.mark.parametrize(
    ("model_type", "method", "task", "reason"),
    [
        (
            "llama",
            LoRA(),
            HEAD,
            "score.weight: trained whole, which the gguf format has no place for; use merge",
        ),
        ("gpt2", LoRA(also_train=("ln_f",)), None, "transformer.ln_f.bias: trained whole"),
        ("gpt2", LoRA(targets=("wte",)), None, "wte: llama.cpp holds the tied embeddings once"),
        ("gpt2", LoRA(targets=("wpe",)), None, "wpe: llama.cpp adds no adapter there; use merge"),
        (
            "roberta",
            LoRA(),
            HEAD,
            "how llama.cpp orders the weights of a roberta is not known here; use merge",
        ),
    ],
)
def test_what_llama_cpp_would_not_compute_is_refused(make_base, tmp_path, model_type, method, task, reason):
    make_adapter(make_base(model_type), tmp_path / "adapter", method, task)
    with pytest.raises(AdapterError, match=reason):
        export(tmp_path / "adapter", tmp_path / "out", "gguf", BaseChoice())
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_one_line(gpt2_base, tmp_path, monkeypatch):
    make_adapter(gpt2_base, tmp_path / "adapter")
    monkeypatch.delitem(sys.modules, "lorafit.interop.gguf_layout")
    monkeypatch.setitem(sys.modules, "gguf", None)
    done = run_here(monkeypatch, ["export", tmp_path / "adapter", tmp_path / "out", "--format", "gguf"])
    assert done.code == LorafitError.exit_code
    assert done.err == (
        "error: format gguf: the package gguf is not installed; run `pip install 'lorafit[gguf]'`\n"
    )


def _file(
    folder: Path, key: str = "", value: str = "", tensors: tuple[str, ...] = ("lora_a", "lora_b")
) -> Path:
    file = folder / "some.gguf"
    writer = gguf.GGUFWriter(file, "gpt2")
    facts = {"general.type": "adapter", "adapter.type": "lora"} | ({key: value} if key else {})
    for name, text in facts.items():
        writer.add_string(name, text)
    for suffix in tensors:
        writer.add_tensor(
            f"blk.0.attn_qkv.weight.{suffix}", np.ones((96 if suffix == "lora_b" else 2, 32), "float32")
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.mark.parametrize(
    ("key", "value", "tensors", "reason"),
    [
        ("general.type", "model", ("lora_a", "lora_b"), "is no LoRA adapter of llama.cpp"),
        (
            "adapter.lora.rank",
            "4",
            ("lora_a", "lora_b"),
            "adapter.lora.rank = 4 has no counterpart in lorafit",
        ),
        ("", "", ("lora_a",), "has only one of its two factors"),
        ("", "", ("lora_a", "lora_b", "norm"), "is no factor of an adapter"),
        ("", "", (), "holds no adapter"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, key, value, tensors, reason):
    with pytest.raises(AdapterError, match=reason):
        READERS["gguf"].read(_file(tmp_path, key, value, tensors))


def test_damaged_files_and_other_bases_are_refused(make_base, gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter")
    export(tmp_path / "adapter", tmp_path / "out", "gguf", BaseChoice())
    content = (tmp_path / "out" / "adapter.gguf").read_bytes()
    for length in (0, 3, 40, 200, len(content) - 5):
        (tmp_path / "cut.gguf").write_bytes(content[:length])
        with pytest.raises(DamagedError, match="not a whole GGUF file"):
            READERS["gguf"].read(tmp_path / "cut.gguf")
    with pytest.raises(NotFoundError):
        READERS["gguf"].read(tmp_path / "nowhere.gguf")
    with pytest.raises(AdapterError, match=r"is for a 'gpt2', and .* is a llama; wrong base"):
        import_adapter(tmp_path / "out", tmp_path / "again", "gguf", str(make_base("llama")), ImportOptions())
