"""lorafit.lora against loralib 0.1.2 where that works: equal draws, checkpoints, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import loralib
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import lorafit.lora as lora

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
RANKS, ALPHAS = st.integers(0, 4), st.integers(1, 64)


@dataclass(frozen=True)
class Pair:
    """How to call either library's constructor, and an input for the layer."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    input: Callable[[], Tensor]

    def both(self, seed: int = 0) -> tuple[Any, Any]:
        """loralib's layer and ours, each from the same seed."""
        layers = []
        for library in (loralib, lora):
            torch.manual_seed(seed)
            layers.append(getattr(library, self.name)(*self.arguments, **self.options))
        return layers[0], layers[1]


@st.composite
def linears(draw: st.DrawFn) -> Pair:
    sizes, bias, stored = (
        (draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    options = {"r": draw(RANKS), "lora_alpha": draw(ALPHAS), "bias": bias, "fan_in_fan_out": stored}
    return Pair("Linear", sizes, options, lambda: torch.randn(2, 3, sizes[0]))


@st.composite
def merged_linears(draw: st.DrawFn) -> Pair:
    enabled = draw(st.lists(st.booleans(), min_size=1, max_size=4).filter(any))
    size, width, stored = draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.booleans())
    options = {"r": draw(st.integers(1, 4)), "lora_alpha": draw(ALPHAS), "enable_lora": enabled}
    options["fan_in_fan_out"] = stored
    return Pair("MergedLinear", (size, width * len(enabled)), options, lambda: torch.randn(2, 3, size))


@st.composite
def embeddings(draw: st.DrawFn) -> Pair:
    num, dim = draw(st.integers(3, 9)), draw(st.integers(1, 5))
    options = {"r": draw(RANKS), "lora_alpha": draw(ALPHAS)}
    return Pair("Embedding", (num, dim), options, lambda: torch.randint(0, num, (2, 3)))


@st.composite
def convolutions(draw: st.DrawFn) -> Pair:
    name, dims = draw(st.sampled_from([("Conv1d", 1), ("Conv2d", 2), ("Conv3d", 3)]))
    kernel = draw(st.integers(1, 3)) if dims == 2 else 1  # loralib fails for other kernels of 1-D and 3-D
    groups = draw(st.integers(1, 2)) if dims == 2 else 1
    channels = (2 * draw(st.integers(1, 3)), 2 * draw(st.integers(1, 3)))
    options = {
        "r": draw(RANKS),
        "lora_alpha": draw(ALPHAS),
        "groups": groups,
        "stride": draw(st.integers(1, 2)),
    }
    options["padding"] = draw(st.integers(0, 1))
    return Pair(name, (*channels, kernel), options, lambda: torch.randn(2, channels[0], *[5] * dims))


pairs = st.one_of(linears(), merged_linears(), embeddings(), convolutions())


def _randomise(layer: Any) -> None:
    for name, parameter in layer.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)


@few
@given(pairs, st.integers(0, 100))
def test_one_seed_gives_one_state_dict(pair, seed):
    theirs, ours = (layer.state_dict() for layer in pair.both(seed))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@few
@given(pairs, st.sampled_from(["none", "all", "lora_only"]))
def test_outputs_and_gradients_are_equal(pair, bias):
    theirs, ours = pair.both()
    _randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    if pair.name.startswith("Conv") or pair.options["r"] == 0:
        bias = "none" if bias == "lora_only" else bias  # where loralib trains what it does not save
    loralib.mark_only_lora_as_trainable(theirs, bias)
    lora.mark_only_lora_as_trainable(ours, bias)
    x = pair.input()
    results = []
    for layer in (theirs, ours):
        inputs = x.clone().requires_grad_(x.is_floating_point())
        y = layer(inputs)
        if y.requires_grad:
            y.sin().sum().backward()
        grads = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
        results.append({"y": y.detach(), "x": inputs.grad} | grads)
    assert results[0].keys() == results[1].keys()
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@few
@given(pairs)
def test_state_dicts_load_in_both_directions(pair):
    theirs, ours = pair.both()
    x = pair.input()
    for source, target in [(theirs, ours), (ours, theirs)]:
        _randomise(source)
        target.load_state_dict(source.state_dict())
        torch.testing.assert_close(target(x), source(x), rtol=1e-4, atol=1e-5)


@few
@given(pairs)
def test_eval_merges_as_loralib_does(pair):
    theirs, ours = pair.both()
    _randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    x = pair.input()
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    if ours.has_adapter:
        assert ours.merged == theirs.merged == True  # noqa: E712
        base = theirs.conv.weight if pair.name.startswith("Conv") else theirs.weight
        torch.testing.assert_close(ours.merged_weight, base, rtol=1e-4, atol=1e-5)
    ours.train()
    theirs.train()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", ["none", "all", "lora_only"])
def test_a_models_lora_state_dict_has_loralibs_names_and_marks(bias):
    def model(library: Any) -> nn.Module:
        torch.manual_seed(0)
        layers = {
            "embed": library.Embedding(7, 4, r=2),
            "query": library.Linear(4, 4, r=2),
            "qkv": library.MergedLinear(4, 12, r=2, enable_lora=[True, False, True]),
            "conv": library.Conv2d(3, 4, 3, r=2, bias=False),
            "norm": nn.LayerNorm(4),
            "head": nn.Linear(4, 2),
        }
        return nn.ModuleDict(layers)

    theirs, ours = model(loralib), model(lora)
    loralib.mark_only_lora_as_trainable(theirs, bias)
    lora.mark_only_lora_as_trainable(ours, bias)
    marks = [{name: p.requires_grad for name, p in m.named_parameters()} for m in (theirs, ours)]
    assert marks[0] == marks[1]
    saved = loralib.lora_state_dict(theirs, bias), lora.lora_state_dict(ours, bias)
    assert set(saved[0]) == set(saved[1])
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])
    assert ours.load_state_dict(saved[0], strict=False).unexpected_keys == []
    assert theirs.load_state_dict(saved[1], strict=False).unexpected_keys == []


def test_a_training_run_gives_the_same_adapter():
    losses = []
    for library in (loralib, lora):
        torch.manual_seed(0)
        model = nn.Sequential(
            library.Embedding(9, 8, r=2), library.MergedLinear(8, 8, r=2, enable_lora=[True, False])
        )
        model.append(library.Linear(8, 9, r=2, lora_alpha=4))
        library.mark_only_lora_as_trainable(model)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
        tokens = torch.randint(0, 9, (16,))
        run = []
        for _ in range(20):
            loss = nn.functional.cross_entropy(model(tokens), tokens.flip(0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.append(loss.item())
        losses.append(run)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[1][-1] < 0.9 * losses[1][0]
