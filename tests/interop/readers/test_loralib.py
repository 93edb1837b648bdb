"""loralib's files are read: those that lorafit writes, and those that the paper's authors released."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

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


def _full_checkpoint(base: Path, adapter_file: Path, **edits: Any) -> dict[str, Any]:
    """As the paper's code saves it at the end of an epoch: base, adapter, causal masks, and the output embedding."""
    net = AutoModelForCausalLM.from_pretrained(base)
    tensors = {f"module.{n}": t for n, t in net.state_dict().items() if not n.startswith("lm_head")}
    tensors["module.lm_head.decoder.weight"] = tensors["module.transformer.wte.weight"]
    tensors["module.transformer.h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    tensors |= torch.load(adapter_file, weights_only=True)["model_state_dict"]
    return tensors | edits


def _same_factors(one: Path, other: Path) -> bool:
    first, second = read_adapter(one).tensors, read_adapter(other).tensors
    return first.keys() == second.keys() and all(torch.equal(t, second[n]) for n, t in first.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_of_the_base_are_left_out_because_they_equal_it(gpt2_base, gpt2_file, tmp_path, dtype):
    tensors = _full_checkpoint(gpt2_base, gpt2_file)
    cast = {n: t if "lora_" in n else t.to(dtype) for n, t in tensors.items()}
    torch.save({"model_state_dict": cast}, tmp_path / "full.pt")
    result = _import(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)
    assert result.num_tensors == 4
    assert result.notes[0].startswith("30 tensors belong to the base, equal it, and were left out")
    assert _same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")


def test_a_merged_checkpoint_is_refused_with_the_tensor_that_differs(gpt2_base, gpt2_file, tmp_path):
    tensors = _full_checkpoint(gpt2_base, gpt2_file)
    name = "module.transformer.h.1.attn.c_attn.weight"
    merged = tensors | {name: tensors[name] + 0.5}
    torch.save({"model_state_dict": merged}, tmp_path / "full.pt")
    with pytest.raises(
        AdapterError, match=r"h\.1\.attn\.c_attn\.weight' differs .* by up to 0\.5; 1 of its 30"
    ):
        _import(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_a_checkpoint_of_another_base_is_refused(gpt2_base, make_base, gpt2_file, tmp_path):
    torch.save(_full_checkpoint(make_base("gpt2", seed=5), gpt2_file), tmp_path / "full.pt")
    with pytest.raises(AdapterError, match="are not those of"):
        _import(tmp_path / "full.pt", tmp_path / "adapter", gpt2_base)


def test_a_full_checkpoint_needs_the_bases_weights(gpt2_base, gpt2_file, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text((gpt2_base / "config.json").read_text())
    torch.save(_full_checkpoint(gpt2_base, gpt2_file), tmp_path / "full.pt")
    with pytest.raises(AdapterError, match="are not here to compare them with"):
        _import(tmp_path / "full.pt", tmp_path / "adapter", tmp_path / "base")
    assert _import(gpt2_file, tmp_path / "adapter", tmp_path / "base").num_tensors == 4


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
    _import(tmp_path / "x.ckpt", tmp_path / "adapter", gpt2_base)
    assert _same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")


def test_llamas_own_name_is_no_wrapper_and_may_be_wrapped(make_base, tmp_path):
    base = make_base("llama")
    make_adapter(base, tmp_path / "made")
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    tensors = torch.load(tmp_path / "out" / FILE, weights_only=True)
    for i, prefix in enumerate(("", "model.", "bare")):
        names = {n: n.removeprefix("model.") if prefix == "bare" else prefix + n for n in tensors}
        torch.save({"state_dict": {names[n]: t for n, t in tensors.items()}}, tmp_path / f"{i}.ckpt")
        _import(tmp_path / f"{i}.ckpt", tmp_path / f"again{i}", base)
        assert _same_factors(tmp_path / f"again{i}", tmp_path / "made")


def test_safetensors_files_are_read(gpt2_file, gpt2_base, tmp_path):
    tensors = torch.load(gpt2_file, weights_only=True)["model_state_dict"]
    safetensors.torch.save_file(dict(tensors), tmp_path / "x.safetensors")
    _import(tmp_path / "x.safetensors", tmp_path / "adapter", gpt2_base)
    assert _same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")
    (tmp_path / "y.safetensors").write_bytes(b"no such thing")
    with pytest.raises(DamagedError, match="not a whole safetensors file"):
        _import(tmp_path / "y.safetensors", tmp_path / "again", gpt2_base)


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
        _import(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_factor_that_is_not_finite_is_refused_by_name(gpt2_file, gpt2_base, tmp_path, value):
    def edit(tensors):
        tensors["module.transformer.h.1.attn.c_attn.lora_B"][3, 1] = value

    with pytest.raises(AdapterError, match=r"'transformer\.h\.1\.attn\.c_attn\.lora_B' .* NaN or infinite"):
        _import(_edited(gpt2_file, tmp_path, edit), tmp_path / "adapter", gpt2_base)
    assert not (tmp_path / "adapter").exists()


def test_a_head_that_is_not_finite_is_refused_by_name(make_base, tmp_path):
    make_adapter(make_base("roberta"), tmp_path / "made", LoRA(r=2, alpha=4), HEAD)
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    tensors = torch.load(tmp_path / "out" / FILE, weights_only=True)
    tensors["classifier.out_proj.bias"][0] = torch.nan
    torch.save(tensors, tmp_path / "x.bin")
    with pytest.raises(AdapterError, match=r"'classifier\.out_proj\.bias' holds values that are NaN"):
        _import(tmp_path / "x.bin", tmp_path / "again", make_base("roberta"))


@pytest.mark.parametrize("blocks", [(0,), (1, 3), (2,), (0, 1, 2, 3)])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_an_adapter_in_some_blocks_only_is_read_with_targets_that_name_these(
    make_base, tmp_path, model_type, blocks
):
    base = make_base(model_type, num_hidden_layers=4)
    make_adapter(base, tmp_path / "made", LoRA(r=2, alpha=8))
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    document = torch.load(tmp_path / "out" / FILE, weights_only=True)
    tensors = document.get("model_state_dict", document)
    kept = {n: t for n, t in tensors.items() if int(re.findall(r"\.(\d+)\.", n)[0]) in blocks}
    torch.save(kept, tmp_path / "some.pt")
    _import(tmp_path / "some.pt", tmp_path / "again", base)
    adapter = read_adapter(tmp_path / "again")
    assert {n.removeprefix("module.") for n in kept} == set(adapter.tensors)
    assert (adapter.card.method["targets"] == ["query", "value"]) == (len(blocks) == 4)
    whole = restore(read_adapter(tmp_path / "made"))
    with torch.no_grad():
        for name, parameter in whole.trained().items():
            parameter.mul_(name in adapter.tensors)
        ids = torch.arange(12)[None]
        assert torch.equal(restore(adapter).net(input_ids=ids).logits, whole.net(input_ids=ids).logits)


def test_blocks_may_adapt_other_slices_than_others(gpt2_base, tmp_path):
    targets = ("transformer.h.0.query", "h.0.value", "h.1.query", "h.1.key", "h.1.value")
    make_adapter(gpt2_base, tmp_path / "made", LoRA(r=2, alpha=8, targets=targets))
    export(tmp_path / "made", tmp_path / "out", "loralib", BaseChoice())
    _import(tmp_path / "out", tmp_path / "again", gpt2_base)
    assert _same_factors(tmp_path / "made", tmp_path / "again")
    assert read_adapter(tmp_path / "again").card.method["targets"] == [
        "query",
        "value",
        "transformer.h.1.key",
    ]


def test_the_archived_codes_query_and_value_are_read(gpt2_file, gpt2_base, tmp_path):
    """q_proj_adapter1 is A, q_proj_adapter2 is B, and v_ likewise."""
    archived = {}
    for name, tensor in torch.load(gpt2_file, weights_only=True)["model_state_dict"].items():
        number = 1 if name.endswith("lora_A") else 2
        stem = name.removesuffix("c_attn.lora_A").removesuffix("c_attn.lora_B")
        for part, half in zip("qv", tensor.chunk(2), strict=True):
            archived[f"{stem}{part}_proj_adapter{number}.weight"] = half.clone()
    torch.save({"model_state_dict": archived}, tmp_path / "x.pt")
    _import(tmp_path / "x.pt", tmp_path / "adapter", gpt2_base)
    assert _same_factors(tmp_path / "adapter", gpt2_file.parents[1] / "adapter")
    del archived["module.transformer.h.0.attn.v_proj_adapter2.weight"]
    torch.save({"model_state_dict": archived}, tmp_path / "half.pt")
    with pytest.raises(DamagedError, match="and not both factors"):
        _import(tmp_path / "half.pt", tmp_path / "again", gpt2_base)


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
        (lambda t: t.pop(FIRST + "B"), "has lora_A alone, and not both factors"),
        (lambda t: t.pop(FIRST + "A"), "has lora_B alone, and not both factors"),
        (lambda t: t.update({FIRST + "A": torch.ones(8)}), "must be matrices"),
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
