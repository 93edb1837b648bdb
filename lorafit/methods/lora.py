"""LoRA (Hu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt
from typing_extensions import override

from lorafit.methods.base import Method, train_only
from lorafit.methods.change import Added, Change, replaced
from lorafit.recipe.sections import Probability

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit.models import Model, TrainedSet

_Patterns = Annotated[tuple[str, ...], Field(min_length=1)]
_OneOrSeveral = BeforeValidator(
    lambda value: (value,) if isinstance(value, str) else value, json_schema_input_type=str | _Patterns
)


class LoRA(Method):
    """h = W x + (alpha / r) B A x, with A [r, in] and B [out, r] trained and W frozen (Hu et al. 2021, eq. 3)."""

    name: ClassVar[str] = "lora"
    low_rank: ClassVar[bool] = True

    r: PositiveInt = 8
    """The rank: rows of A and columns of B."""
    alpha: PositiveFloat = 16.0
    """Scale of the update: B A is multiplied by alpha / r."""
    dropout: Probability = 0.0
    """Dropout on the input of A, as a probability."""
    targets: Annotated[_Patterns, _OneOrSeveral] = ("query", "value")
    """Which matrices get an adapter: query, key, value, output, up, down, or patterns of module names such as
    "attn.c_*"; "all-linear" stands for every linear layer of the blocks. Each must match."""
    init: Literal["loralib", "paper-gpt2", "gaussian"] = "loralib"
    """Initial values. loralib: A kaiming-uniform, B zero; gaussian: A from N(0, 0.02), B zero; paper-gpt2: A and B from
    N(0, 0.02), as the archived code of the paper's GPT-2 runs does, so that training does not start at the base."""
    init_from: str | None = None
    """An adapter folder whose LoRA tensors are the start; the head stays fresh."""

    @property
    @override
    def warm_start_source(self) -> str | None:
        return self.init_from

    @override
    def warm_start_conflict(self, theirs: Method) -> str | None:
        """Rank and alpha must be equal; the targets are, if the tensors are. Dropout and the rest may differ."""
        if theirs.name != self.name:
            return f"was trained with {theirs.name}, and only LoRA can start from another adapter"
        here, there = self.options(), theirs.options()
        differing = [key for key in ("r", "alpha") if here[key] != there[key]]
        if not differing:
            return None
        key = differing[0]
        return f"has {key} = {there[key]:g}, and this recipe {here[key]:g}; they must be equal"

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Swap every targeted module for its LoRA layer; the base weights stay where they are, frozen."""
        from lorafit import lora

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
        return train_only(model, lora.adapter_parameters(model.net).keys())

    @override
    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """W + (alpha / r) B A in every adapted module; the head is replaced."""
        from lorafit import lora

        factors = lora.adapter_parameters(model.net)
        layers = lora.filled_layers(model.net, tensors)
        added: dict[str, Change] = {f"{name}.weight": Added(layer) for name, layer in layers.items()}
        return {**replaced({n: t for n, t in tensors.items() if n not in factors}), **added}
