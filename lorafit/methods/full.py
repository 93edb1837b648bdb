"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.methods.base import Method
from lorafit.methods.change import Change, replaced

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit.models import Model, TrainedSet


class Full(Method):
    """Train every parameter (the paper's "FT")."""

    name: ClassVar[str] = "full"

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Every parameter requires a gradient."""
        model.net.requires_grad_(True)
        return model.trained()

    @override
    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """Every weight is replaced."""
        return replaced(tensors)
