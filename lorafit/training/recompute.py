"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from transformers import PreTrainedModel

from lorafit.errors import RecipeError, SetKey


def recompute_activations(net: PreTrainedModel) -> None:
    """Let every block keep its input alone while training. Losses stay the same, dropout included.

    The non-reentrant kind is used: the other yields no gradient at all behind frozen embeddings.
    Raises RecipeError for an architecture that cannot do it.
    """
    if not net.supports_gradient_checkpointing:
        raise RecipeError(
            f"[train] gradient_checkpointing: {net.config.model_type} cannot do that",
            SetKey("train.gradient_checkpointing", False),
        )
    enable = getattr(net, "activation_checkpointing_enable", net.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    net.disable_input_require_grads()  # a crutch of the reentrant kind
