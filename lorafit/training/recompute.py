"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor
from transformers import PreTrainedModel

from lorafit.errors import RecipeError, SetKey
from lorafit.lora import Draws


def check_recomputable(net: PreTrainedModel) -> None:
    """Raises RecipeError for an architecture that cannot compute its activations again."""
    if not net.supports_gradient_checkpointing:
        raise RecipeError(
            f"[train] gradient_checkpointing: {net.config.model_type} cannot do that",
            SetKey("train.gradient_checkpointing", False),
        )


def recompute_activations(net: PreTrainedModel, draws: Draws) -> None:
    """Let every block keep its input alone while training. Losses stay the same, dropout included.

    The non-reentrant kind is used: the other yields no gradient at all behind frozen embeddings. torch replays its
    global generators by itself; `draws`, which the net draws from, is replayed here.
    `check_recomputable` says for which architectures.
    """
    enable = getattr(net, "activation_checkpointing_enable", net.gradient_checkpointing_enable)
    enable({"use_reentrant": False, "context_fn": lambda: _contexts(draws)})
    net.disable_input_require_grads()  # a crutch of the reentrant kind


def _contexts(draws: Draws) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """For one block in one pass: the context of its forward pass, and that of doing it again."""
    before: dict[str, Tensor] = {}

    @contextmanager
    def first_time() -> Iterator[None]:
        before.update(draws.state())
        yield

    @contextmanager
    def again() -> Iterator[None]:
        now = draws.state()
        draws.set_state(before)
        try:
            yield
        finally:
            draws.set_state(now)

    return first_time(), again()
