"""What merging does to one weight, some rows at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lorafit import lora
from lorafit.methods import Added, Change, Replaced


def in_rows(change: Change, weight: Tensor, num_rows: int) -> Tensor:
    """The merged weight, `num_rows` at a time."""
    starts = range(0, len(weight), num_rows)
    return torch.cat([change.rows(weight[start : start + num_rows].clone(), start) for start in starts])


@pytest.mark.parametrize("num_rows", [1, 4, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_update_is_added_to_the_rows_it_belongs_to(num_rows: int, dtype: torch.dtype) -> None:
    layer = lora.MergedLinear.from_base(
        nn.Linear(5, 12), r=2, enable_lora=[True, False, True], init="gaussian"
    )
    with torch.no_grad():
        layer.lora_B.normal_()
    change = Added(layer.filled(layer.adapter_parameters()))
    weight = torch.randn(12, 5, dtype=dtype)
    expected = weight + layer.delta_weight().detach()
    torch.testing.assert_close(in_rows(change, weight, num_rows), expected)
    assert change.replacement is None


@pytest.mark.parametrize("num_rows", [1, 4, 12])
def test_a_trained_weight_takes_the_place_of_the_base(num_rows: int) -> None:
    trained = torch.randn(12, 5)
    change = Replaced(trained)
    assert torch.equal(in_rows(change, torch.randn(12, 5), num_rows), trained)
    assert change.replacement is trained


def test_a_scalar_is_one_row() -> None:
    assert Replaced(torch.tensor(3.0)).rows(torch.zeros(1), 0).tolist() == [3.0]
