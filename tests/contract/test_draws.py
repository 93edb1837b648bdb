"""Whatever an architecture and a method draw while training comes from the run's own generators."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.data.encoding.labelled import EncodedText, pack_labelled
from lorafit.lora import Draws, draw_from
from lorafit.methods import AdapterTuning, BitFit, Full, LoRA, Method, Prefix, Top2
from lorafit.models import FAMILIES, Model, take_packed_rows
from lorafit.objectives.classification import label_outputs
from lorafit.training import label_loss_sum, language_model_loss_sums, recompute_activations
from tests.support.fitting import fits
from tests.support.tiny_models import outputs, tiny_model

P = 0.3
PAIRS = [EncodedPair((4, 9, 1, 0), (7, 22, 0)), EncodedPair((13, 0), (2, 8, 28, 6, 0))]
TEXTS = [EncodedText((4, 9, 1, 7, 22, 5), None, 0.0), EncodedText((13, 2, 8), None, 2.0)]

EVERYWHERE: list[Method] = [
    LoRA(r=2, alpha=4.0, dropout=P),
    LoRA(r=2, alpha=4.0, dropout=P, targets=("output",)),
    Full(),
    Top2(num_layers=2),
]
OF_ENCODERS: list[Method] = [
    BitFit(),
    AdapterTuning(size=4),
    AdapterTuning(variant="pfeiffer", size=4),
    AdapterTuning(variant="adapterdrop", size=4, drop_at_random=True),
]
OF_GPT2: list[Method] = [BitFit(), AdapterTuning(size=4), AdapterTuning(variant="lin", size=4)]
LAYER, EMBEDDING = Prefix(length=3, hidden=8), Prefix(variant="embedding", length=3, hidden=8)


def can_pack(model_type: str) -> bool:
    """Whether examples may share a row in the tiny model of this architecture."""
    return FAMILIES[model_type].pluggable_attention


def methods_of(model_type: str) -> list[Method]:
    """Every method that the architecture has a place for."""
    family = FAMILIES[model_type]
    of_its_kind = OF_ENCODERS if "text" not in family.heads else []
    methods = [method for method in (*EVERYWHERE, *of_its_kind) if fits(model_type, method)]
    methods += OF_GPT2 if model_type == "gpt2" else []
    return methods + [method for method in (LAYER, EMBEDDING) if fits(model_type, method)]


def _padded_loss(model: Model) -> Tensor:
    return outputs(model).square().sum()


def _packed_loss(model: Model) -> Tensor:
    if model.output == "text":
        return language_model_loss_sums(model.net, pack(PAIRS, 64), [0.1])[0]
    batch = pack_labelled(TEXTS, model.family.first_position(model.net.config))
    return label_loss_sum(label_outputs(model, batch), batch.labels, 0.0)


LOSSES: dict[str, Callable[[Model], Tensor]] = {"padded": _padded_loss, "packed": _packed_loss}
CASES = [
    pytest.param(
        model_type, method, how, id=f"{model_type}-{method.name}{getattr(method, 'variant', '')}-{how}"
    )
    for model_type, family in FAMILIES.items()
    for method in methods_of(model_type)
    for how in (LOSSES if can_pack(model_type) else ["padded"])
]
# Of that scope, so that the laws of one case run one after another and share its models.
over_all = pytest.mark.parametrize(("model_type", "method", "how"), CASES, scope="module")


@lru_cache(maxsize=1)
def two_in_training(model_type: str, method: Method) -> tuple[Model, Model]:
    """Equal ones, for all laws of a case: none of them changes a weight."""
    return in_training(model_type, method), in_training(model_type, method)


def in_training(model_type: str, method: Method) -> Model:
    """With every dropout of the architecture on."""
    rates: dict[str, Any] = dict.fromkeys(FAMILIES[model_type].dropouts, P)
    model = tiny_model(model_type, **rates)
    method.attach(model, torch.Generator().manual_seed(0))
    if can_pack(model_type):
        take_packed_rows(model.net)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trained().values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.net.train()
    return model


def step(model: Model, how: str, draws: Draws) -> list[Tensor]:
    """The loss, and the gradient of everything that trains."""
    draw_from(model.net, draws)
    loss = LOSSES[how](model)
    return [loss.detach(), *torch.autograd.grad(loss, list(model.trained().values()))]


def global_state() -> list[Any]:
    kind, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), *rest]


@lru_cache(maxsize=1)
def two_steps(model_type: str, method: Method, how: str) -> tuple[list[list[Tensor]], dict[str, Tensor]]:
    """What two steps with the draws of seed 0 give, for all laws of a case, and where the draws are then."""
    model, draws = two_in_training(model_type, method)[0], Draws(0)
    return [step(model, how, draws) for _ in range(2)], draws.state()


@over_all
def test_a_step_touches_no_global_generator_and_is_its_draws(
    model_type: str, method: Method, how: str
) -> None:
    (first, _), _ = two_steps(model_type, method, how)
    model, _ = two_in_training(model_type, method)
    torch.manual_seed(1234)
    before = global_state()
    again = step(model, how, Draws(0))
    assert global_state() == before
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    draw_from(model.net, Draws(1))
    assert not torch.equal(first[0], LOSSES[how](model))


@over_all
def test_two_models_draw_independently(model_type: str, method: Method, how: str) -> None:
    (first, second), _ = two_steps(model_type, method, how)
    one, two = two_in_training(model_type, method)
    draw_from(one.net, Draws(0))
    draw_from(two.net, Draws(1))
    together = [LOSSES[how](one).detach()]
    LOSSES[how](two)
    together.append(LOSSES[how](one).detach())
    assert all(torch.equal(alone[0], loss) for alone, loss in zip((first, second), together, strict=True))


@over_all
def test_recomputed_activations_draw_the_same_again(model_type: str, method: Method, how: str) -> None:
    expected, end = two_steps(model_type, method, how)
    model, draws = two_in_training(model_type, method)[0], Draws(0)
    recompute_activations(model.net, draws)
    try:
        for losses in expected:
            torch.testing.assert_close(step(model, how, draws), losses)
    finally:
        net = model.net
        getattr(net, "activation_checkpointing_disable", net.gradient_checkpointing_disable)()
    assert draws.state().keys() == end.keys()
    assert all(torch.equal(draws.state()[kind], end[kind]) for kind in end), "and not once more"
