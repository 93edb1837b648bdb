"""The shape of a base by its files alone is the one that transformers gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorafit import lora
from lorafit.lora import MergedLinear
from lorafit.metrics import Kind
from lorafit.models import FAMILIES, Model, outline, skeleton, stored_tensors, weight_files
from tests.support.tiny_models import tiny_model

CASES: list[tuple[str, Kind]] = [
    (name, kind)
    for name, family in FAMILIES.items()
    for kind, head in family.heads.items()
    if kind in ("text", "label") and head.reads != "last" and name != "gpt_neox"
]
"""All but decoders that give labels, which need a tokenizer, and GPT-NeoX, whose files have names of their own."""


def _saved(model: Model, folder: Path) -> dict[str, object]:
    model.net.save_pretrained(folder)
    config: dict[str, object] = json.loads((folder / "config.json").read_text())
    return config


def _outlined(model: Model, folder: Path, **changes: object) -> Model | None:
    config = {**_saved(model, folder), **changes}
    trained = {n: t.detach() for n, t in model.net.named_parameters() if model.is_head(n)}
    return outline(config, stored_tensors(weight_files(folder)), trained, model.output)


def _parameters(model: Model) -> set[tuple[tuple[str, ...], torch.Size]]:
    """All names of each parameter, and its shape."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {(tuple(sorted(group)), model.net.get_parameter(group[0]).shape) for group in names.values()}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_family_s_files_tell_its_shape(name: str, kind: Kind, tmp_path: Path) -> None:
    model = tiny_model(name, kind)
    made, there = _outlined(model, tmp_path), skeleton(model.net.config, kind)
    assert made is not None
    assert _parameters(made) == _parameters(there)
    assert type(made.net).__name__ == type(there.net).__name__
    targets = [target for target in made.family.places if target in ("query", "value", "up", "down")]
    for each in (made, there):
        lora.attach(each.net, each.family.sites(each.net, targets), r=2, alpha=4)
    layers, expected = (lora.adapted_layers(each.net) for each in (made, there))
    assert layers.keys() == expected.keys()
    for path, layer in layers.items():
        assert isinstance(layer, lora.Linear | MergedLinear)
        other = expected[path]
        assert isinstance(other, lora.Linear | MergedLinear)
        assert layer.geometry == other.geometry, path


def test_a_bare_backbone_in_the_files_has_the_same_shape(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    _saved(model, tmp_path)
    file = tmp_path / "model.safetensors"
    bare = {n.removeprefix("transformer."): t for n, t in load_file(file).items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()  # as the paper's GPT-2 has it
    save_file(bare, file, {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    made = outline(config, stored_tensors([file]), {}, "text")
    assert made is not None
    assert _parameters(made) == _parameters(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "opt"},
        {"architectures": ["GPT2Model"]},
        {"architectures": None},
        {"quantization_config": {}},
        {"auto_map": {}},
        {"tie_word_embeddings": False},  # and no output embedding in the files
    ],
    ids=str,
)
def test_what_the_files_do_not_surely_tell_is_left_to_transformers(
    changes: dict[str, object], tmp_path: Path
) -> None:
    assert _outlined(tiny_model("gpt2"), tmp_path, **changes) is None


def test_two_embeddings_that_may_be_tied_are_left_to_transformers(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    _saved(model, tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "lm_head.weight": torch.ones(29, 16)}, file, {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    assert outline(config, stored_tensors([file]), {}, "text") is None
