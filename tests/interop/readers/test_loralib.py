"""loralib's files are read: those that lorafit writes, and those that the paper's authors released."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, DamagedError, NotFoundError, RecipeError
from lorafit.methods import LoRA
from lorafit.tasks import Classification
from lorafit.verbs.export import export
from lorafit.verbs.import_ import ImportOptions, import_adapter
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter, run_here

FILE = "pytorch_model_lora.bin"
HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


def _import(file: Path, output: Path, base: Path, **given: Any) -> Any:
    return import_adapter(file, output, "loralib", str(base), ImportOptions(**({"alpha": 8.0} | given)))


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("prefix", ["module.transformer.", "transformer.", "module.", ""])
def test_wrapper_and_prefixes_are_optional(gpt2_file, gpt2_base, tmp_path, wrapped, prefix):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    renamed: Any = OrderedDict(
        (prefix + name.removeprefix("module.transformer."), t) for name, t in tensors.items()
    )
    torch.save({"model_state_dict": renamed} if wrapped else renamed, tmp_path / "x.pt")
    result = _import(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)
    original = read_adapter(gpt2_file.parents[1] / "adapter")
    again = read_adapter(tmp_path / "adapter")
    assert all(torch.equal(t, original.tensors[n]) for n, t in again.tensors.items())
    assert again.card.method == original.card.method
    assert again.card.base == original.card.base
    assert (result.num_tensors, result.notes) == (4, [])
    assert verify(tmp_path / "adapter").ok
    ids = torch.arange(12)[None]
    assert torch.equal(restore(again).net(input_ids=ids).logits, restore(original).net(input_ids=ids).logits)


def test_what_the_file_holds_of_the_base_is_left_out(gpt2_file, gpt2_base, tmp_path):
    document = torch.load(gpt2_file, weights_only=True)
    more = {
        "transformer.h.0.ln_1.weight": torch.ones(32),
        "transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4),
    }
    more |= {"lm_head.decoder.weight": torch.ones(9, 32)}
    document["model_state_dict"] |= {f"module.{name}": tensor for name, tensor in more.items()}
    torch.save(document, tmp_path / "full.pt")
    result = _import(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)
    assert result.num_tensors == 4
    assert result.notes[0].startswith("3 tensors belong to the base")


@pytest.mark.parametrize(
    ("targets", "asked"),
    [
        (("query", "key", "value"), None),
        (("key",), ("key",)),
        (("query", "key"), ("query", "key")),
        (("c_attn",), None),
        (("query", "value", "output", "down"), None),
    ],
)
def test_every_choice_of_targets_comes_back(gpt2_base, tmp_path, targets, asked):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, alpha=8, targets=targets))
    export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())
    _import(tmp_path / "out", tmp_path / "again", gpt2_base, targets=asked)
    first, second = read_adapter(tmp_path / "adapter"), read_adapter(tmp_path / "again")
    ids = torch.arange(12)[None]
    assert torch.equal(restore(first).net(input_ids=ids).logits, restore(second).net(input_ids=ids).logits)
    assert first.tensors.keys() == second.tensors.keys()


def test_one_slice_of_three_has_to_be_named(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, alpha=8, targets=("key",)))
    export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())
    with pytest.raises(AdapterError, match=r"adapts 1 of 3 slices of its output; pass `targets`"):
        _import(tmp_path / "out", tmp_path / "again", gpt2_base)


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_encoders_bring_their_head(make_base, tmp_path, model_type):
    base = make_base(model_type)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=4), HEAD)
    export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())
    assert "model_state_dict" not in torch.load(tmp_path / "out" / FILE, weights_only=True)
    _import(tmp_path / "out" / FILE, tmp_path / "again", base, alpha=4)
    first, second = read_adapter(tmp_path / "adapter"), read_adapter(tmp_path / "again")
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
    assert second.card.task["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert second.card.method["targets"] == ["query", "value"]


def test_the_papers_released_checkpoint_goes_all_the_way_round(shared, tmp_path, monkeypatch):
    source = shared / "reference" / "loralib_checkpoint" / "roberta_base_lora_mnli.bin"
    (tmp_path / "base").mkdir()
    config = {"model_type": "roberta", "vocab_size": 50265, "max_position_embeddings": 514}
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "type_vocab_size": 1}))
    base = ["--base", tmp_path / "base"]
    loralib = ["--format", "loralib", "--alpha", "16"]
    steps = [
        ["import", source, tmp_path / "a", *base, *loralib],
        ["export", tmp_path / "a", tmp_path / "b", "--format", "peft"],
        ["import", tmp_path / "b", tmp_path / "c", *base, "--format", "peft"],
        ["export", tmp_path / "c", tmp_path / "d", "--format", "loralib"],
    ]
    for step in steps:
        outcome = run_here(monkeypatch, step)
        assert outcome.code == 0, outcome.err
    first = torch.load(source, map_location="cpu", weights_only=True)
    last = torch.load(tmp_path / "d" / FILE, weights_only=True)
    assert len(first) == 52
    assert first.keys() == last.keys()
    assert all(torch.equal(tensor, last[name]) for name, tensor in first.items())
    cards = [read_adapter(tmp_path / name).card for name in ("a", "c")]
    assert cards[0].method == cards[1].method
    assert (cards[0].method["r"], cards[0].method["alpha"]) == (8, 16.0)
    assert cards[0].base.weights_hash is None
    checked = run_here(monkeypatch, ["verify", tmp_path / "a"])
    assert checked.code == 0
    assert "every tensor has its place" in checked.out
    assert "the weights of the base are not recorded" in checked.out


def test_alpha_is_asked_for_with_the_papers_value(gpt2_file, gpt2_base, tmp_path):
    with pytest.raises(
        RecipeError, match=r"does not hold alpha; pass `alpha` \(32 for the paper's gpt2 checkpoints\)"
    ):
        _import(gpt2_file, tmp_path / "adapter", gpt2_base, alpha=None)
    assert not (tmp_path / "adapter").exists()


def _edited(file: Path, folder: Path, edit: Any) -> Path:
    tensors = torch.load(file, weights_only=True)["model_state_dict"]
    edit(tensors)
    torch.save(tensors, folder / "edited.pt")
    return folder / "edited.pt"


FIRST = "module.transformer.h.0.attn.c_attn.lora_"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop(FIRST + "B"), "must be matrices"),
        (lambda t: t.pop(FIRST + "A"), "adapts other slices"),
        (lambda t: t.update({"module.score.lora_C": torch.ones(1)}), "has no place"),
        (lambda t: t.update({"module.nowhere.lora_A": torch.ones(2, 2)}), "which this base does not have"),
        (lambda t: t.update({FIRST + "A": torch.ones(8, 31)}), "wrong base"),
        (lambda t: t.update({FIRST + "A": torch.ones(4, 32)}), "adapts 1 of 3 slices"),
        (lambda t: t.update({FIRST + "B": torch.ones(64, 2)}), "adapts 4 of 3 slices"),
        (lambda t: t.clear(), "holds no lora_A"),
    ],
)
def test_what_does_not_fit_is_named(gpt2_file, gpt2_base, tmp_path, edit, words):
    file = _edited(gpt2_file, tmp_path, edit)
    with pytest.raises(AdapterError, match=words):
        _import(file, tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_unreadable_files_and_unknown_tasks_are_named(gpt2_file, gpt2_base, make_base, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(DamagedError, match="weights_only"):
        _import(tmp_path / "x.bin", tmp_path / "adapter", gpt2_base)
    with pytest.raises(NotFoundError, match="no such file"):
        _import(tmp_path / "y.bin", tmp_path / "adapter", gpt2_base)
    with pytest.raises(RecipeError, match=r"no task 'e3e'; did you mean 'e2e'"):
        _import(gpt2_file, tmp_path / "adapter", gpt2_base, task="e3e")
    with pytest.raises(AdapterError, match="holds no classification head"):
        _import(gpt2_file, tmp_path / "adapter", make_base("roberta"))
    assert _import(gpt2_file, tmp_path / "adapter", gpt2_base, task="e2e").card.task["name"] == "e2e"
