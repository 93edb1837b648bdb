"""LoRA (Hu et al. 2021)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from lorafit import lora
from lorafit.methods.base import Change, Method, replaced, train_only
from lorafit.models import Model
from lorafit.recipe.sections import Probability

_FACTORS = ("lora_A", "lora_B")


class LoRA(Method):
    """h = W x + (alpha / r) B A x, with A [r, in] and B [out, r] trained and W frozen (Hu et al. 2021, eq. 3)."""

    name: ClassVar[str] = "lora"

    r: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    dropout: Probability = 0.0  # on the input of A
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("query", "value")
    init: Literal["loralib", "paper-gpt2", "gaussian"] = "loralib"
    init_from: str | None = None  # an adapter folder whose LoRA tensors are the start; the head stays fresh

    def attach(self, model: Model, generator: torch.Generator | None = None) -> None:
        """Swap every targeted module for its LoRA layer; the base weights stay where they are, frozen."""
        sites = model.family.sites(model.net, self.targets)
        lora.attach(
            model.net,
            sites,
            r=self.r,
            alpha=self.alpha,
            dropout=self.dropout,
            init=self.init,
            generator=generator,
        )
        train_only(model, set(lora.lora_state_dict(model.net)))

    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """W + (alpha / r) B A in every adapted module; the head is replaced."""
        layers = {
            n: m for n, m in model.net.named_modules() if isinstance(m, lora.LoRALayer) and m.has_adapter
        }
        head = {name: t for name, t in tensors.items() if name.rpartition(".")[0] not in layers}
        added = {f"{name}.weight": _adding(layer, name, tensors) for name, layer in layers.items()}
        return replaced(head) | added


def _adding(layer: lora.LoRALayer, name: str, tensors: Mapping[str, Tensor]) -> Change:
    """The layer's own ΔW, from tensors that are put into a copy of the layer (whose shape alone exists)."""

    def change(weight: Tensor) -> Tensor:
        real = copy.copy(layer)
        real._parameters = {
            key: nn.Parameter(tensors[f"{name}.{key}"], requires_grad=False) for key in _FACTORS
        }
        real._parameters["weight"] = nn.Parameter(weight, requires_grad=False)
        return weight + real.delta_weight()

    return change
