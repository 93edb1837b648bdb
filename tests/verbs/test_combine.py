"""The weighted sum of adapters is one adapter, exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lorafit.adapters import BaseChoice, read_adapter, restore
from lorafit.errors import AdapterError, RecipeError
from lorafit.lora import adapted_layers
from lorafit.methods import Full, LoRA
from lorafit.tasks import Classification
from lorafit.verbs.combine import Part, combine
from lorafit.verbs.merge import merge
from lorafit.verbs.verify import verify
from tests.support.adapter_fixtures import make_adapter, run_here

HEAD = Classification(name="classification", labels=("no", "yes"))


def _updates(folder: Path) -> dict[str, torch.Tensor]:
    layers = adapted_layers(restore(read_adapter(folder)).net)
    return {name: layer.delta_weight().double() for name, layer in layers.items()}


@pytest.mark.parametrize(
    ("model_type", "first", "second", "r"),
    [
        ("gpt2", ("query", "value"), ("query", "value"), 5),
        ("gpt2", ("query", "value"), ("output", "down"), 3),  # each where the other is not
        ("gpt2", ("query",), ("key", "value"), 8),  # slices that differ: as a whole
        ("gpt2", ("c_attn",), ("value", "up"), 5),
        ("gpt2", ("wte", "query"), ("wte", "query"), 5),
        ("llama", ("query", "down"), ("down", "embed_tokens"), 5),
        ("phi3", ("query", "up"), ("query", "up"), 5),
    ],
)
def test_the_update_of_every_weight_is_the_weighted_sum(make_base, tmp_path, model_type, first, second, r):
    base = make_base(model_type)
    make_adapter(base, tmp_path / "a", LoRA(r=2, alpha=6, targets=first))
    make_adapter(base, tmp_path / "b", LoRA(r=3, alpha=5, targets=second))
    combine([Part(tmp_path / "a", 0.7), Part(tmp_path / "b", -0.3)], tmp_path / "out", BaseChoice())
    a, b, both = (_updates(tmp_path / name) for name in ("a", "b", "out"))
    assert both.keys() == a.keys() | b.keys()
    for name, update in both.items():
        wanted = 0.7 * a.get(name, torch.zeros(1)) - 0.3 * b.get(name, torch.zeros(1))
        torch.testing.assert_close(update, wanted.expand_as(update), rtol=0, atol=1e-6)
    assert read_adapter(tmp_path / "out").card.method["r"] == r
    assert verify(tmp_path / "out").ok
    merge(tmp_path / "out", tmp_path / "merged", BaseChoice())


def test_a_single_adapter_is_scaled(gpt2_base, tmp_path, monkeypatch):
    make_adapter(gpt2_base, tmp_path / "a:b")
    done = run_here(monkeypatch, ["combine", f"{tmp_path / 'a:b'}:0.5", tmp_path / "half"])
    assert done.code == 0, done.err
    whole, half = _updates(tmp_path / "a:b"), _updates(tmp_path / "half")
    assert all(torch.equal(update / 2, half[name]) for name, update in whole.items())
    assert run_here(monkeypatch, ["combine", tmp_path / "a:b", tmp_path / "same"]).code == 0
    assert all(torch.equal(update, whole[name]) for name, update in _updates(tmp_path / "same").items())


def test_what_does_not_add_up_is_refused(make_base, gpt2_base, tmp_path):
    def refused(*names: str, weight: float = 1.0, match: str, error: type[Exception] = AdapterError) -> None:
        with pytest.raises(error, match=match):
            combine([Part(tmp_path / name, weight) for name in names], tmp_path / "out", BaseChoice())
        assert not (tmp_path / "out").exists()

    make_adapter(gpt2_base, tmp_path / "text")
    make_adapter(make_base("gpt2", seed=7), tmp_path / "elsewhere")
    make_adapter(gpt2_base, tmp_path / "full", Full(), strength=0.01)
    make_adapter(gpt2_base, tmp_path / "labels", task=HEAD)
    make_adapter(gpt2_base, tmp_path / "other", task=HEAD, strength=0.3)
    refused("text", "elsewhere", match="another base")
    refused("text", "full", match="method 'full' does not add up")
    refused("text", "labels", match="gives other outputs")
    refused("labels", "other", match="'score.weight' was trained whole, and is not the same")
    refused("text", weight=0.0, match="weight 0", error=RecipeError)
    refused("text", weight=float("nan"), match="weight nan", error=RecipeError)
    refused("text", weight=1e39, match="holds or gives values that are not finite", error=RecipeError)
    refused("text", weight=1e30, match="holds or gives values that are not finite", error=RecipeError)


def test_what_cancels_is_merged(gpt2_base, tmp_path):
    make_adapter(gpt2_base, tmp_path / "a", LoRA(r=2, targets=("query", "up")), strength=3.0)
    make_adapter(gpt2_base, tmp_path / "b", LoRA(r=2, targets=("down",)))
    parts = [Part(tmp_path / name, weight) for name, weight in (("a", 0.1), ("b", 1.0), ("a", -0.1))]
    combine(parts, tmp_path / "out", BaseChoice())
    result = merge(tmp_path / "out", tmp_path / "merged", BaseChoice())
    assert result.weights.least_survived == pytest.approx(1, abs=0.01)
    assert {layer.name for layer in result.weights.layers if layer.survived is not None} == {
        f"transformer.h.{i}.mlp.c_proj.weight" for i in range(2)
    }


def test_on_a_base_that_is_forced_the_sum_is_an_adapter_of_that_base(make_base, gpt2_base, tmp_path):
    other = make_base("gpt2", seed=7)
    make_adapter(gpt2_base, tmp_path / "a")
    with pytest.raises(AdapterError, match="wrong base"):
        combine([Part(tmp_path / "a")], tmp_path / "out", BaseChoice(str(other)))
    combine([Part(tmp_path / "a")], tmp_path / "out", BaseChoice(str(other), force=True))
    assert read_adapter(tmp_path / "out").card.base.id == str(other)
    assert verify(tmp_path / "out").ok
    merge(tmp_path / "out", tmp_path / "merged", BaseChoice())
