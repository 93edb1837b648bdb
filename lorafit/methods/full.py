"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lorafit.methods.base import Change, Method, replaced
from lorafit.models import Model


class Full(Method):
    """Train every parameter (the paper's "FT")."""

    name: ClassVar[str] = "full"

    def attach(self, model: Model, generator: torch.Generator | None = None) -> None:  # noqa: ARG002
        """Every parameter requires a gradient."""
        model.net.requires_grad_(True)

    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:  # noqa: ARG002
        """Every weight is replaced."""
        return replaced(tensors)
