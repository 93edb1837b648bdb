"""The kinds of LoRA layer, each with a base module and an input for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

import lorafit.lora as lora


@dataclass(frozen=True)
class Kind:
    """How to make a base module, its LoRA layer and an input."""

    layer: type[lora.LoRALayer]
    base: Callable[[], nn.Module]
    input: Callable[[], Tensor]
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, base: nn.Module | None = None, **options: Any) -> lora.LoRALayer:
        """A layer of rank 2 around `base`, with lora_A and lora_B both away from zero."""
        layer = self.layer.from_base(
            base or self.base(), r=2, lora_alpha=3, init="paper-gpt2", **self.options | options
        )
        with torch.no_grad():
            layer.lora_A.mul_(20)
            layer.lora_B.mul_(20)
        return layer


def _tokens() -> Tensor:
    return torch.randint(0, 11, (2, 5))


def _vectors() -> Tensor:
    return torch.randn(2, 5, 6)


def _image(*size: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(2, *size)


def _conv1d() -> nn.Module:
    module = Conv1D(12, 6)
    nn.init.normal_(module.bias)
    return module


def _conv(kind: type[nn.Module], kernel: Any, **options: Any) -> Callable[[], nn.Module]:
    return lambda: kind(4, 6, kernel, **options)


QV = {"enable_lora": [True, False, True]}
GROUPED = {"enable_lora": (True, False, True), "parts": (7, 3, 2)}
KINDS: dict[str, Kind] = {
    "Linear": Kind(lora.Linear, lambda: nn.Linear(6, 12), _vectors),
    "Linear without bias": Kind(lora.Linear, lambda: nn.Linear(6, 12, bias=False), _vectors),
    "Linear of Conv1D": Kind(lora.Linear, _conv1d, _vectors),
    "MergedLinear": Kind(lora.MergedLinear, lambda: nn.Linear(6, 12), _vectors, QV),
    "MergedLinear of Conv1D": Kind(lora.MergedLinear, _conv1d, _vectors, QV),
    "MergedLinear of unequal parts": Kind(lora.MergedLinear, lambda: nn.Linear(6, 12), _vectors, GROUPED),
    "MergedLinear of unequal parts of Conv1D": Kind(lora.MergedLinear, _conv1d, _vectors, GROUPED),
    "Embedding": Kind(lora.Embedding, lambda: nn.Embedding(11, 6), _tokens),
    "Embedding with padding": Kind(lora.Embedding, lambda: nn.Embedding(11, 6, padding_idx=3), _tokens),
    "Conv1d": Kind(lora.Conv1d, _conv(nn.Conv1d, 3, padding=1, padding_mode="reflect"), _image(4, 7)),
    "Conv2d": Kind(lora.Conv2d, _conv(nn.Conv2d, (3, 2), stride=(1, 2), dilation=(2, 1)), _image(4, 7, 8)),
    "Conv2d in groups": Kind(lora.Conv2d, _conv(nn.Conv2d, 3, groups=2, bias=False), _image(4, 7, 8)),
    "Conv2d as loralib": Kind(lora.Conv2d, _conv(nn.Conv2d, 3), _image(4, 7, 8), {"layout": "loralib"}),
    "Conv3d": Kind(lora.Conv3d, _conv(nn.Conv3d, 2, padding_mode="circular", padding=1), _image(4, 3, 4, 5)),
}


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of layer in turn."""
    return request.param


@pytest.fixture
def kinds() -> dict[str, Kind]:
    """All of them, by name."""
    return KINDS


@pytest.fixture
def count_flops() -> Callable[[Callable[[], Any]], int]:
    """Floating-point operations of the matrix products in a call, those added in place included."""

    def addmm_in_place(_: Any, left: Any, right: Any, **_options: Any) -> int:
        return 2 * left[0] * left[1] * right[1]

    def count(call: Callable[[], Any]) -> int:
        with FlopCounterMode(
            display=False, custom_mapping={torch.ops.aten.addmm_: addmm_in_place}
        ) as counter:
            call()
        return counter.get_total_flops()

    return count
