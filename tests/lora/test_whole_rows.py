"""In 16 bits on a CPU every product has one of a few numbers of rows, and gives what it gave."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from lorafit.data.batches import pack
from lorafit.data.encoding.encode import EncodedPair
from lorafit.lora.whole_rows import round_rows, whole, whole_rows
from lorafit.methods import LoRA
from lorafit.models import take_packed_rows
from lorafit.models.placement import Placement
from lorafit.training import language_model_loss_sums
from tests.support.tiny_models import tiny_model


def test_eight_numbers_in_every_doubling_and_at_most_an_eighth_more() -> None:
    numbers = range(1, 5000)
    for start in (64, 256, 2048):
        assert len({whole(n) for n in range(start + 1, 2 * start + 1)}) == 8
    assert all(n <= whole(n) <= max(n + 7, n + n / 8) for n in numbers)
    assert all(whole(whole(n)) == whole(n) for n in numbers)


@pytest.mark.parametrize("shape", [(1, 37, 6), (3, 5, 6), (9, 6), (16, 6), (1, 1, 6)])
def test_a_layer_gives_what_it_gave(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, rounded = torch.nn.Linear(6, 5).bfloat16(), torch.nn.Linear(6, 5).bfloat16()
    rounded.load_state_dict(layer.state_dict())
    round_rows(rounded)
    round_rows(rounded)
    x = torch.randn(shape, dtype=torch.bfloat16)
    results = []
    for each in (layer, rounded):
        given = x.clone().requires_grad_()
        y = each(given)
        y.square().sum().backward()
        assert y.shape == (*shape[:-1], 5)
        results.append((y, given.grad, each.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=2e-2)
    assert whole_rows(torch.ones(9, 2)).sum() == 18


def test_copies_of_a_layer_share_its_hooks() -> None:
    layer = torch.nn.Linear(6, 5).bfloat16()
    copies = [copy.copy(layer), copy.copy(layer), copy.deepcopy(layer)]
    for each in [layer, *copies]:
        round_rows(each)
    x = torch.randn(3, 5, 6, dtype=torch.bfloat16)
    for each in copies:
        assert each(input=x).equal(layer(x))


class Products(TorchDispatchMode):
    """The shapes of the matrix products of the net: of frozen weights, not of the adapter's thin factors. And how many
    were made text by text."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: set[int] = set()
        self.num_by_text = 0

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            x, weight = args[-2:]
            if x.dtype == torch.bfloat16 and min(x.shape[1], *weight.shape) >= 8:
                self.rows.add(x.shape[0])
        self.num_by_text += func is torch.ops.aten.bmm.default
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_the_last_states_of_texts_are_one_product() -> None:
    head = torch.nn.Linear(16, 32, bias=False).bfloat16().requires_grad_(False)
    last = torch.randn(16, 5, 16, dtype=torch.bfloat16)[:, -1:]
    with Products() as before:
        expected = head(last)
    round_rows(head)
    with Products() as products:
        assert head(last).equal(expected)
    assert (before.num_by_text, products.num_by_text, products.rows) == (1, 0, {16})


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_texts_of_all_lengths_have_few_shapes(model_type: str) -> None:
    """Through the whole net, the loss, and back."""
    model = tiny_model(model_type)
    LoRA(r=2, alpha=4.0, dropout=0.1).attach(model, torch.Generator().manual_seed(0))
    placement = Placement(torch.device("cpu"), torch.bfloat16)
    placement.place(model.net)
    take_packed_rows(model.net)
    with Products() as products, placement.autocast():
        for length in range(9, 31):
            pair = EncodedPair(tuple(i % 25 + 1 for i in range(length)), (7, 22, 0))
            language_model_loss_sums(model.net, pack([pair, pair], 64), [0.0]).sum().backward()
    assert {n for n in products.rows if n > 8} <= {whole(n) for n in range(9, 70)}
