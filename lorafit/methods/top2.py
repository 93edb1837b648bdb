"""Fine-tuning the last blocks alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import RecipeError
from lorafit.methods.base import Method, train_only
from lorafit.methods.change import Change, replaced
from lorafit.recipe.bounds import Layers

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit.models import Model, TrainedSet


class Top2(Method):
    """Train the last `num_layers` blocks, two in the paper (its "FT-Top2", after Li & Liang 2021).

    Only the blocks: GPT-2's last LayerNorm and embeddings stay frozen, as the paper's 25.19M (Table 3) counts.
    """

    name: ClassVar[str] = "top2"

    num_layers: Layers = 2
    """How many of the last blocks are trained."""

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """The parameters of the last blocks require a gradient."""
        num_blocks = model.family.num_blocks(model.net)
        if self.num_layers > num_blocks:
            raise RecipeError(f"[method] num_layers: {self.num_layers}, but the base has {num_blocks} blocks")
        prefix = model.family.block_prefix(model.net)
        last = tuple(f"{prefix}.{i}." for i in range(num_blocks - self.num_layers, num_blocks))
        return train_only(model, {name for name, _ in model.net.named_parameters() if name.startswith(last)})

    @override
    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """The blocks' weights, and the head's, are replaced."""
        return replaced(tensors)
