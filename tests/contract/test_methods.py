"""What every fine-tuning method must keep to, on every architecture it is for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lorafit.adapters import AdapterCard, BaseCard, Provenance, read_adapter, write_adapter
from lorafit.adapters.restore import finished_tensors, load_tensors, method_of
from lorafit.errors import NotMergeableError, RecipeError
from lorafit.methods import METHODS, AdapterTuning, Method, Prefix, Top2
from lorafit.models import Model, skeleton
from lorafit.tasks import make_task
from tests.support.fitting import fits
from tests.support.tiny_models import DECODERS, ENCODERS, outputs, tiny_model

# A method's variants, with options that are small enough for a tiny model; one that is not here has its defaults.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "lora": [{"r": 2, "alpha": 4.0}, {"r": 2, "alpha": 4.0, "targets": ("output",)}],
    "adapter": [
        {"size": 4},
        {"variant": "pfeiffer", "size": 4},
        {"variant": "lin", "size": 4, "activation": "gelu"},
        {"variant": "adapterdrop", "size": 4, "drop_layers": 1},
    ],
    "prefix": [
        {"length": 3, "hidden": 8},
        {"variant": "embedding", "length": 3, "hidden": 8},
        {"length": 3, "hidden": 0},
    ],
}
EVERY: list[Method] = [
    kind(**options) for name, kind in METHODS.items() for options in OPTIONS.get(name, [{}])
]


EVERY_PAIR = [(model_type, method) for model_type in (*DECODERS, *ENCODERS) for method in EVERY]
CASES = [
    pytest.param(model_type, method, id=f"{model_type}-{method.name}-{i}")
    for i, (model_type, method) in enumerate(EVERY_PAIR)
    if fits(model_type, method)
]
STARTS_BESIDE_THE_BASE = ("adapter", "prefix")
over_all = pytest.mark.parametrize(("model_type", "method"), CASES)


def attached(model_type: str, method: Method, seed: int = 0) -> Model:
    model = tiny_model(model_type)
    method.attach(model, torch.Generator().manual_seed(seed))
    return model


def trained(model_type: str, method: Method) -> Model:
    """As after some training: whatever trains is somewhere else than where it began."""
    model = attached(model_type, method)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@torch.no_grad()
def answers(model: Model) -> Tensor:
    model.net.eval()
    return outputs(model)


@over_all
def test_the_gradient_reaches_what_trains_and_nothing_else(model_type: str, method: Method) -> None:
    model = trained(model_type, method)
    model.net.train()
    outputs(model).square().sum().backward()
    for name, parameter in model.net.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            of_key = "key" in name and name.endswith(
                "bias"
            )  # softmax does not see what all keys have in common
            assert parameter.grad.any() or of_key, name


@over_all
def test_the_head_trains_with_every_method(model_type: str, method: Method) -> None:
    model = attached(model_type, method)
    head = dict(model.head_parameters())
    assert bool(head) == (model_type in ENCODERS)
    assert head.keys() <= model.trained().keys()
    assert not [name for name in head if name.startswith(f"{model.family.backbone}.prefix")]


@over_all
def test_attaching_gives_what_trains(model_type: str, method: Method) -> None:
    model = tiny_model(model_type)
    trained_set = method.attach(model)
    assert trained_set.keys() == model.trained().keys()
    assert all(parameter is model.net.get_parameter(name) for name, parameter in trained_set.items())


@over_all
def test_the_names_of_the_base_stay(model_type: str, method: Method) -> None:
    before = {name: p.shape for name, p in tiny_model(model_type).net.named_parameters()}
    after = {name: p.shape for name, p in attached(model_type, method).net.named_parameters()}
    assert before.items() <= after.items()


@over_all
def test_step_0_is_the_base_where_the_method_says_so(model_type: str, method: Method) -> None:
    base, start = answers(tiny_model(model_type)), answers(attached(model_type, method))
    assert torch.equal(base, start) == (method.name not in STARTS_BESIDE_THE_BASE)
    if method.name == "adapter":
        torch.testing.assert_close(start, base, atol=0.3, rtol=0.1)


@over_all
def test_the_start_is_the_seeds(model_type: str, method: Method) -> None:
    first, again, other = (attached(model_type, method, seed).trained() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    draws = not first.keys() <= dict(tiny_model(model_type).net.named_parameters()).keys()
    assert any(not torch.equal(first[name], other[name]) for name in first) == draws


@over_all
def test_save_and_restore_give_the_same_answers_bit_for_bit(
    model_type: str, method: Method, tmp_path: Path
) -> None:
    model = trained(model_type, method)
    tensors = finished_tensors(model, method)
    write_adapter(tmp_path / "adapter", card_of(method), tensors)
    adapter = read_adapter(tmp_path / "adapter")
    assert method_of(adapter) == method

    restored = attached(model_type, method_of(adapter), seed=7)
    method.finish(restored)
    assert restored.trained().keys() == adapter.tensors.keys()
    load_tensors(adapter, restored)
    assert torch.equal(answers(restored), answers(model))


@over_all
def test_finishing_changes_no_answer(model_type: str, method: Method) -> None:
    model = trained(model_type, method)
    before, saved = answers(model), finished_tensors(model, method)
    method.finish(model)
    assert torch.equal(answers(model), before)
    assert all(torch.equal(parameter, saved[name]) for name, parameter in model.trained().items())


@over_all
def test_a_copy_is_whole_and_on_its_own(model_type: str, method: Method) -> None:
    model = trained(model_type, method)
    before = answers(model)
    twin = Model(copy.deepcopy(model.net), None, model.family, model.output)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.zero_()
    assert torch.equal(answers(twin), before)
    assert not torch.equal(answers(model), before)


@pytest.mark.parametrize("method", EVERY, ids=str)
def test_options_are_all_that_is_needed(method: Method) -> None:
    options = json.loads(json.dumps(method.options()))
    assert options.pop("name") == method.name
    assert METHODS[method.name].model_validate(options, strict=False) == method


@over_all
def test_merged_is_the_same_function_or_says_that_it_is_not_to_be_had(
    model_type: str, method: Method
) -> None:
    model = trained(model_type, method)
    plain = tiny_model(model_type)
    shape = skeleton(plain.net.config, plain.output)
    method.attach(shape)
    if type(method).changed_weights is Method.changed_weights:
        with pytest.raises(NotMergeableError, match=method.name):
            method.changed_weights(shape, finished_tensors(model, method))
        return
    changes = method.changed_weights(shape, finished_tensors(model, method))
    with torch.no_grad():
        for name, change in changes.items():
            parameter = plain.net.get_parameter(name)
            parameter.copy_(change.scan([parameter]).rows(parameter.clone(), 0))
    merged, expected = answers(plain), answers(model)
    assert (merged - expected).abs().max() <= 1e-5 * expected.abs().max()


REFUSED: list[tuple[str, Method, str]] = [
    *(
        (model_type, method, r"\[method\] (name|variant|targets): ")
        for model_type, method in EVERY_PAIR
        if not fits(model_type, method)
    ),
    ("gpt2", Top2(num_layers=4), "num_layers"),
    ("bert", AdapterTuning(variant="adapterdrop", drop_layers=3), "drop_layers"),
    ("gpt2", Prefix(length=64), "length"),
]


@pytest.mark.parametrize(("model_type", "method", "key"), REFUSED)
def test_what_does_not_fit_the_architecture_is_said_before_there_are_weights(
    model_type: str, method: Method, key: str
) -> None:
    plain = tiny_model(model_type)
    with pytest.raises(RecipeError, match=key):
        method.attach(skeleton(plain.net.config, plain.output))


def card_of(method: Method) -> AdapterCard:
    return AdapterCard(
        base=BaseCard(id="base", revision=None, config_hash="0", weights_hash="0"),
        method=method.options(),
        task=make_task("e2e").options(),
        provenance=Provenance(created="2026-01-01T00:00:00Z", lorafit="0", torch="0", transformers="0"),
    )
