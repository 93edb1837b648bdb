"""The generators of a run: seed and rank decide, nobody else's draws are touched, and a state brings them back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lorafit.lora as lora

X = torch.ones(257)


@pytest.fixture(autouse=True)
def _torchs_own_generator_is_not_touched() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


def mask(draws: lora.Draws) -> Tensor:
    return draws.keep_mask(X, 0.5)


def draws_of(net: nn.Module) -> list[Any]:
    modules: list[Any] = list(net.modules())
    return [module.draws for module in modules]


def test_seed_and_rank_decide() -> None:
    made = [mask(lora.Draws(seed, rank)) for seed, rank in ((0, 0), (0, 1), (1, 0))]
    assert torch.equal(mask(lora.Draws(0, 0)), made[0])
    assert all(not torch.equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_initial_values_are_a_stream_of_their_own() -> None:
    draws = lora.Draws(5, rank=3)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(5))
    mask(draws)
    assert torch.equal(torch.rand(4, generator=draws.init()), expected)
    assert torch.equal(torch.rand(4, generator=draws.init()), expected), "always from its start"


def test_a_state_brings_everything_back() -> None:
    draws = lora.Draws(0)
    fresh = draws.state()
    first = mask(draws)
    later = draws.state()
    second, number = mask(draws), draws.integer(0, 1 << 40)
    draws.set_state(later)
    assert torch.equal(mask(draws), second)
    assert draws.integer(0, 1 << 40) == number
    draws.set_state(fresh)
    assert torch.equal(mask(draws), first), "a generator that had not been made begins anew"
    other = lora.Draws(99)
    other.set_state(later)
    assert torch.equal(mask(other), second)
    assert all(isinstance(value, Tensor) for value in later.values())
    if not torch.cuda.is_available():
        draws.set_state({**later, "cuda": later["cpu"]})
        assert draws.state().keys() == {"cpu"}, "a device that is not here is left out"


def test_integers_are_from_the_range_and_reach_all_of_it() -> None:
    draws = lora.Draws(0)
    assert {draws.integer(2, 5) for _ in range(60)} == {2, 3, 4}


def test_a_copy_goes_its_own_way() -> None:
    draws = lora.Draws(0)
    mask(draws)
    twin = copy.deepcopy(draws)
    expected = mask(draws)
    mask(draws)
    assert torch.equal(mask(twin), expected)


def test_every_dropout_of_a_net_is_reached() -> None:
    shared = nn.Dropout(0.5)
    net = nn.Sequential(shared, nn.Sequential(nn.LayerNorm(4), nn.Dropout(0.3)), nn.ModuleDict({"d": shared}))
    net[1].eval()
    draws = lora.Draws(0)
    lora.draw_from(net, draws)
    found = [m for m in net.modules() if isinstance(m, nn.Dropout)]
    assert {type(m) for m in found} == {lora.Dropout}
    assert [(m.p, m.training) for m in found] == [(0.5, True), (0.3, False), (0.5, True)]
    assert all(found is draws for found in draws_of(net))
    assert list(net.state_dict()) == ["1.0.weight", "1.0.bias"]
    lora.draw_from(net, other := lora.Draws(1))
    assert all(found is other for found in draws_of(net))


def test_a_layers_dropout_is_its_draws(kind) -> None:
    with torch.random.fork_rng():  # base and input are drawn by torch
        layer, x = kind.build(lora_dropout=0.5, merge_weights=False), kind.input()

    def answers(seed: int) -> list[Tensor]:
        lora.draw_from(layer, lora.Draws(seed))
        return [layer(x) for _ in range(3)]

    ours, again, others = answers(0), answers(0), answers(1)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    assert not torch.equal(ours[0], ours[1])
    assert not torch.equal(ours[0], others[0])
    with torch.no_grad():
        mean = torch.stack([layer(x) for _ in range(600)]).mean(0)
    expected, base = layer.eval()(x), layer.to_base()(x)
    assert (mean - expected).abs().amax() < 0.35 * (expected - base).abs().amax()
