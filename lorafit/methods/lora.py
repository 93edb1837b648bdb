"""LoRA (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from lorafit import lora
from lorafit.methods.base import Change, Method, RowwiseChange, replaced, train_only
from lorafit.models import Model
from lorafit.recipe.sections import Probability


class LoRA(Method):
    """h = W x + (alpha / r) B A x, with A [r, in] and B [out, r] trained and W frozen (Hu et al. 2021, eq. 3)."""

    name: ClassVar[str] = "lora"

    r: PositiveInt = 8
    """The rank: rows of A and columns of B."""
    alpha: PositiveFloat = 16.0
    """Scale of the update: B A is multiplied by alpha / r."""
    dropout: Probability = 0.0
    """Dropout on the input of A, as a probability."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("query", "value")
    """Which matrices get an adapter: query, key, value, output, up, down, or patterns of module names such as
    "attn.c_*". Each must match."""
    init: Literal["loralib", "paper-gpt2", "gaussian"] = "loralib"
    """Initial values. loralib: A kaiming-uniform, B zero; gaussian: A from N(0, 0.02), B zero; paper-gpt2: A and B from
    N(0, 0.02), as the archived code of the paper's GPT-2 runs does, so that training does not start at the base."""
    init_from: str | None = None
    """An adapter folder whose LoRA tensors are the start; the head stays fresh."""

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
        factors = lora.adapter_parameters(model.net)
        added = {}
        for name, layer in lora.adapted_layers(model.net).items():
            own = {key: tensors[f"{name}.{key}"] for key in layer.adapter_parameters()}
            added[f"{name}.weight"] = Update(layer.filled(own))
        return {**replaced({n: t for n, t in tensors.items() if n not in factors}), **added}


@dataclass(frozen=True)
class Update(RowwiseChange):
    """W + ΔW of one layer, of which only the adapter need exist."""

    layer: lora.LoRALayer

    def rows(self, block: Tensor, start: int) -> Tensor:
        """block + ΔW[start:start + len(block)], in place."""
        return block.add_(self.delta(start, start + block.shape[0]))

    @torch.no_grad()
    def delta(self, start: int, stop: int) -> Tensor:
        """ΔW[start:stop]."""
        return self.layer.delta_rows(start, stop)
