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
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter, run_here
from tests.support.loralib_files import FILE, full_checkpoint, import_loralib, same_factors

HEAD = Classification(name="classification", labels=("no", "yes", "maybe"))


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("prefix", ["module.transformer.", "transformer.", "module.", ""])
def test_wrapper_and_prefixes_are_optional(gpt2_file, gpt2_base, tmp_path, wrapped, prefix):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    renamed: Any = OrderedDict(
        (prefix + name.removeprefix("module.transformer."), t) for name, t in tensors.items()
    )
    torch.save({"model_state_dict": renamed} if wrapped else renamed, tmp_path / "x.pt")
    result = import_loralib(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)
    original = read_adapter(gpt2_file.parents[1] / "adapter")
    again = read_adapter(tmp_path / "adapter")
    assert all(torch.equal(t, original.tensors[n]) for n, t in again.tensors.items())
    assert again.card.method == original.card.method
    assert again.card.base == original.card.base
    assert (result.num_tensors, result.notes) == (4, [])
    assert verify(tmp_path / "adapter").ok
    ids = torch.arange(12)[None]
    assert torch.equal(restore(again).net(input_ids=ids).logits, restore(original).net(input_ids=ids).logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_of_the_base_are_left_out_because_they_equal_it(gpt2_base, gpt2_file, tmp_path, dtype):
    tensors = full_checkpoint(gpt2_base, gpt2_file)
    cast = {n: t if "lora_" in n else t.to(dtype) for n, t in tensors.items()}
    torch.save({"model_state_dict": cast}, tmp_path / "full.pt")
    result = import_loralib(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)
    assert result.num_tensors == 4
    assert result.notes[0].startswith("30 tensors belong to the base, equal it, and were left out")
    assert same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")


def test_a_merged_checkpoint_is_refused_with_the_tensor_that_differs(gpt2_base, gpt2_file, tmp_path):
    tensors = full_checkpoint(gpt2_base, gpt2_file)
    name = "module.transformer.h.1.attn.c_attn.weight"
    merged = tensors | {name: tensors[name] + 0.5}
    torch.save({"model_state_dict": merged}, tmp_path / "full.pt")
    with pytest.raises(
        AdapterError, match=r"h\.1\.attn\.c_attn\.weight' differs .* by up to 0\.5; 1 of its 30"
    ):
        import_loralib(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_a_checkpoint_of_another_base_is_refused(gpt2_base, make_base, gpt2_file, tmp_path):
    torch.save(full_checkpoint(make_base("gpt2", seed=5), gpt2_file), tmp_path / "full.pt")
    with pytest.raises(AdapterError, match="are not those of"):
        import_loralib(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)


def test_a_full_checkpoint_needs_the_bases_weights(gpt2_base, gpt2_file, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text((gpt2_base / "config.json").read_text())
    torch.save(full_checkpoint(gpt2_base, gpt2_file), tmp_path / "full.pt")
    with pytest.raises(AdapterError, match="are not here to compare them with"):
        import_loralib(tmp_path / "full.pt", tmp_path / "adapter", tmp_path / "base")
    assert import_loralib(gpt2_file, tmp_path / "adapter", tmp_path / "base").num_tensors == 4


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_factor_that_is_not_finite_is_refused_by_name(gpt2_file, gpt2_base, tmp_path, value):
    def edit(tensors):
        tensors["module.transformer.h.1.attn.c_attn.lora_B"][3, 1] = value

    with pytest.raises(AdapterError, match=r"'transformer\.h\.1\.attn\.c_attn\.lora_B' .* NaN or infinite"):
        import_loralib(_edited(gpt2_file, tmp_path, edit), tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_a_head_that_is_not_finite_is_refused_by_name(make_base, tmp_path):
    make_adapter(make_base("roberta"), tmp_path / "made", LoRA(r=2, alpha=4), HEAD)
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    tensors = torch.load(tmp_path / "out" / FILE, weights_only=True)
    tensors["classifier.out_proj.bias"][0] = torch.nan
    torch.save(tensors, tmp_path / "x.bin")
    with pytest.raises(AdapterError, match=r"'classifier\.out_proj\.bias' holds values that are NaN"):
        import_loralib(tmp_path / "x.bin", tmp_path / "again", make_base("roberta"))


def test_the_archived_codes_query_and_value_are_read(gpt2_file, gpt2_base, tmp_path):
    """q_proj_adapter1 is A, q_proj_adapter2 is B, and v_ likewise."""
    archived = {}
    for name, tensor in torch.load(gpt2_file, weights_only=True)["model_state_dict"].items():
        number = 1 if name.endswith("lora_A") else 2
        stem = name.removesuffix("c_attn.lora_A").removesuffix("c_attn.lora_B")
        for part, half in zip("qv", tensor.chunk(2), strict=True):
            archived[f"{stem}{part}_proj_adapter{number}.weight"] = half.clone()
    torch.save({"model_state_dict": archived}, tmp_path / "x.pt")
    import_loralib(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)
    assert same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")
    del archived["module.transformer.h.0.attn.v_proj_adapter2.weight"]
    torch.save({"model_state_dict": archived}, tmp_path / "half.pt")
    with pytest.raises(DamagedError, match="and not both factors"):
        import_loralib(tmp_path / "half.pt", tmp_path / "again", gpt2_base)


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
    import_loralib(tmp_path / "out", tmp_path / "again", gpt2_base, targets=asked)
    first, second = read_adapter(tmp_path / "adapter"), read_adapter(tmp_path / "again")
    ids = torch.arange(12)[None]
    assert torch.equal(restore(first).net(input_ids=ids).logits, restore(second).net(input_ids=ids).logits)
    assert first.tensors.keys() == second.tensors.keys()


def test_one_slice_of_three_has_to_be_named(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "adapter", LoRA(r=2, alpha=8, targets=("key",)))
    export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())
    with pytest.raises(AdapterError, match=r"adapts 1 of 3 slices of its output; pass `targets`"):
        import_loralib(tmp_path / "out", tmp_path / "again", gpt2_base)


@pytest.mark.parametrize("model_type", ["roberta", "bert"])
def test_encoders_bring_their_head(make_base, tmp_path, model_type):
    base = make_base(model_type)
    make_adapter(base, tmp_path / "adapter", LoRA(r=2, alpha=4), HEAD)
    export(tmp_path / "adapter", tmp_path / "out", "loralib", BaseChoice())
    assert "model_state_dict" not in torch.load(tmp_path / "out" / FILE, weights_only=True)
    import_loralib(tmp_path / "out" / FILE, tmp_path / "again", base, alpha=4)
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
        import_loralib(gpt2_file, tmp_path / "adapter", gpt2_base, alpha=None)
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
        (lambda t: t.pop(FIRST + "B"), "has lora_A alone, and not both factors"),
        (lambda t: t.pop(FIRST + "A"), "has lora_B alone, and not both factors"),
        (lambda t: t.update({FIRST + "A": torch.ones(8)}), "must be matrices"),
        (lambda t: t.update({"module.score.lora_C": torch.ones(1)}), "has no place"),
        (
            lambda t: t.update({"nowhere.lora_A": t[FIRST + "A"], "nowhere.lora_B": t[FIRST + "B"]}),
            "does not have",
        ),
        (lambda t: t.update({FIRST + "A": torch.ones(8, 31)}), "wrong base"),
        (lambda t: t.update({FIRST + "A": torch.ones(4, 32)}), "adapts 1 of 3 slices"),
        (lambda t: t.update({FIRST + "B": torch.ones(64, 2)}), "adapts 4 of 3 slices"),
        (lambda t: t.clear(), "holds no lora_A"),
    ],
)
def test_what_does_not_fit_is_named(gpt2_file, gpt2_base, tmp_path, edit, words):
    file = _edited(gpt2_file, tmp_path, edit)
    with pytest.raises(AdapterError, match=words):
        import_loralib(file, tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_unreadable_files_and_unknown_tasks_are_named(gpt2_file, gpt2_base, make_base, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(DamagedError, match="weights_only"):
        import_loralib(tmp_path / "x.bin", tmp_path / "adapter", gpt2_base)
    with pytest.raises(NotFoundError, match="no such file"):
        import_loralib(tmp_path / "y.bin", tmp_path / "adapter", gpt2_base)
    with pytest.raises(RecipeError, match=r"no task 'e3e'; did you mean 'e2e'"):
        import_loralib(gpt2_file, tmp_path / "adapter", gpt2_base, task="e3e")
    with pytest.raises(AdapterError, match="holds no classification head"):
        import_loralib(gpt2_file, tmp_path / "adapter", make_base("roberta"))
    assert import_loralib(gpt2_file, tmp_path / "adapter", gpt2_base, task="e2e").card.task["name"] == "e2e"
