"""BitFit (Ben Zaken et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lorafit.errors import RecipeError
from lorafit.methods.base import Change, Method, replaced, train_only
from lorafit.models import Model


class BitFit(Method):
    """Train every bias of the base, those of the LayerNorms too.

    By the paper's rule a bias is a parameter with "bias" in its name (microsoft/LoRA, run_glue.py, --apply_bitfit).
    """

    name: ClassVar[str] = "bitfit"

    def attach(self, model: Model, generator: torch.Generator | None = None) -> None:  # noqa: ARG002
        """The biases require a gradient. Raises RecipeError for an architecture without any."""
        head = {name for name, _ in model.head_parameters()}
        biases = {n for n, _ in model.net.named_parameters() if "bias" in n and n not in head}
        if not biases:
            raise RecipeError(
                f"[method] name: bitfit trains biases, and this {model.family.model_type} has none; "
                f"choose another method"
            )
        train_only(model, biases)

    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:  # noqa: ARG002
        """The biases, and the head, are replaced."""
        return replaced(tensors)
