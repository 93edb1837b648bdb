"""Training with compiled blocks is training without, in few graphs.

Graphs are made by torch's compiler and run by its own operations (aot_eager); one test lets inductor write C++.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lorafit import lora
from lorafit.errors import RecipeError, SetKey
from lorafit.methods import Method, Prefix
from lorafit.models.attention.packing import PackedRow
from lorafit.models.attention.static_row import StaticRow
from lorafit.training import (
    ProcessGroup,
    Stepped,
    check_compiler,
    compile_blocks,
    compiled,
    fit,
    recompute_activations,
)
from tests.support.families import OBJECTIVES, Setting, tiny_base

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor:UserWarning"
)  # torch hides it itself

SHORT = Setting(num_steps=3, label_smoothing=0.1, targets=("query", "value", "down"))


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    counters.clear()
    yield
    torch.compiler.reset()


def train(
    model_type: str,
    *,
    compiles: bool,
    setting: Setting = SHORT,
    method: Method | None = None,
    recomputes: bool = False,
    activation: nn.Module | None = None,
) -> tuple[dict[str, Tensor], list[Stepped], dict[str, Tensor]]:
    """What is learned in float64, the steps, and where the generators are in the end."""
    model, draws = tiny_base(model_type), lora.Draws(setting.seed)
    if activation is not None:
        model.net.get_submodule("transformer.h.1.mlp").act = activation
    (method or setting.method()).attach(model, draws.init())
    if recomputes:
        recompute_activations(model.net, draws)
    model.net.double()
    lora.draw_from(model.net, draws)
    objective: Any = OBJECTIVES[model_type]
    member = setting.member(model, objective.examples(random.Random(0)), draws)
    if compiles:
        compile_blocks(model, member, objective, ProcessGroup())
    model.net.train()
    steps = [event for event in fit(model, [member], objective, ProcessGroup()) if isinstance(event, Stepped)]
    learned = {name: p.detach() for name, p in model.trained().items()}
    return learned, [replace(step, seconds=0.0) for step in steps], draws.state()


def assert_same(found: tuple[Any, list[Stepped], Any], expected: tuple[Any, list[Stepped], Any]) -> None:
    for name, tensor in expected[0].items():
        torch.testing.assert_close(found[0][name], tensor, rtol=0, atol=1e-10)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, 1e-10)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, 1e-10)
        assert replace(ours, loss=theirs.loss, grad_norm=theirs.grad_norm) == theirs, (
            "targets, tokens, places"
        )
    for kind, state in expected[2].items():
        assert torch.equal(found[2][kind], state)


@pytest.mark.parametrize(("model_type", "recomputes"), [("gpt2", True), ("roberta", False)])
def test_the_same_is_learned(model_type: str, recomputes: bool) -> None:
    """With dropout in the base, in the attention and in the adapter."""
    found = train(model_type, compiles=True, recomputes=recomputes)
    assert_same(found, train(model_type, compiles=False))


def test_a_prefix_before_every_text_is_learned_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    setting, method = replace(SHORT, num_steps=2), Prefix(length=3)
    found = train("gpt2", compiles=True, setting=setting, method=method)
    assert_same(found, train("gpt2", compiles=False, setting=setting, method=method))


def test_graphs_are_few_and_rows_of_further_shapes_run_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "MOST_GRAPHS", 2)
    setting = replace(SHORT, num_steps=12)
    found = train("gpt2", compiles=True, setting=setting)
    assert counters["stats"]["unique_graphs"] == 2
    assert_same(found, train("gpt2", compiles=False, setting=setting))


def test_an_epoch_of_random_lengths_has_two_graphs_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first block and those of all others."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    shapes, around = set[tuple[int, tuple[int, int]]](), StaticRow.around

    def noted(row: PackedRow) -> StaticRow:
        static = around(row)
        shapes.add((static.num_tokens, static.shape))
        return static

    monkeypatch.setattr(StaticRow, "around", noted)
    _, steps, _ = train("gpt2", compiles=True, setting=replace(SHORT, num_steps=24))
    assert len({step.num_tokens for step in steps}) > 10
    assert len(shapes) < 10
    assert counters["stats"]["unique_graphs"] == 2 * len(shapes)


class Reads(nn.Module):
    """What no graph can hold: a number that decides."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum().item() > 0 else -x


class Doubles(nn.Module):
    """Another function where it is compiled."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if torch.compiler.is_compiling() else x


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (Reads(), r"\[train\] compile: gpt2 cannot be compiled: \S"),
        (Doubles(), r"\[train\] compile: gpt2 cannot be compiled: its compiled blocks give other numbers"),
    ],
)
def test_what_cannot_be_compiled_is_said(
    activation: nn.Module, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    with pytest.raises(RecipeError, match=said) as caught:
        train("gpt2", compiles=True, activation=activation)
    assert "\n" not in caught.value.message
    assert caught.value.remedies == (SetKey("train.compile", False),)


def test_a_compiler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "nowhere")
    with pytest.raises(RecipeError, match=r"torch's compiler fails on this machine: .*nowhere") as caught:
        check_compiler(torch.device("cpu"))
    assert caught.value.remedies == (SetKey("train.compile", False),)
