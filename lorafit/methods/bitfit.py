"""BitFit (Ben Zaken et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import RecipeError
from lorafit.methods.base import Method, train_only
from lorafit.methods.change import Change, replaced

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorafit.models import Model, TrainedSet


class BitFit(Method):
    """Train every bias of the base, those of the LayerNorms too.

    By the paper's rule a bias is a parameter with "bias" in its name (microsoft/LoRA, run_glue.py, --apply_bitfit).
    """

    name: ClassVar[str] = "bitfit"

    @override
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """The biases require a gradient. Raises RecipeError for an architecture without any."""
        head = {name for name, _ in model.head_parameters()}
        biases = {n for n, _ in model.net.named_parameters() if "bias" in n and n not in head}
        if not biases:
            raise RecipeError(
                f"[method] name: bitfit trains biases, and this {model.family.model_type} has none; "
                f"choose another method"
            )
        return train_only(model, biases)

    @override
    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """The biases, and the head, are replaced."""
        return replaced(tensors)
