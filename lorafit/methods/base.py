"""What every fine-tuning method is: a frozen value with its options as fields and two verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lorafit.errors import NotMergeableError
from lorafit.models import Model
from lorafit.recipe import MethodSection

Change = Callable[[Tensor], Tensor]
"""A base weight in float32 -> the merged weight in float32."""


class RowwiseChange(ABC):
    """A Change that can be made a few rows at a time, so that no whole tensor need be in memory."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The whole at once."""
        return self.rows(weight, 0)

    @abstractmethod
    def rows(self, block: Tensor, start: int) -> Tensor:
        """Rows of the base weight from `start` on -> the same rows of the merged weight; both float32."""


class Method(MethodSection, ABC):
    """A way of fine-tuning: its fields are the keys of the recipe's `[method]` section.

    `attach` changes the net in place and nothing else.
    """

    name: ClassVar[str]

    @property
    def num_positions(self) -> int:
        """Positions of a decoder that the method takes for itself: so many fewer are left for tokens."""
        return 0

    @abstractmethod
    def attach(self, model: Model, generator: torch.Generator | None = None) -> None:
        """Put the method's parameters into the net, and let exactly those (and the head) require a gradient.

        `generator` draws the initial values. Raises RecipeError where the architecture does not have what is asked for.
        """

    def always_reached(self, model: Model) -> dict[str, nn.Parameter]:
        """What a gradient reaches in every step, by parameter name: mostly all that trains."""
        unreached = set(model.without_gradient())
        return {name: parameter for name, parameter in model.trained().items() if name not in unreached}

    def saved_tensors(self, model: Model) -> dict[str, Tensor]:
        """What the adapter folder holds of a model in training, by parameter name: everything that trains.

        A method that trains through something it then drops gives the result instead.
        """
        return dict(model.trained())

    def attach_finished(self, model: Model) -> None:
        """`attach`, and on to the form in which the method is saved: ready for an adapter's tensors."""
        self.attach(model, torch.Generator().manual_seed(0))
        self.finish(model)

    def finish(self, model: Model) -> None:
        """Put the results of training in the place of what only training needs.

        Afterwards `model.trained()` is `saved_tensors`, name by name, which is how an adapter folder is loaded:
        attach, finish, then copy its tensors in.
        """

    def changed_weights(
        self,
        model: Model,  # noqa: ARG002
        tensors: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Change]:
        """What merging does to the base: parameter name -> function of its float32 value.

        `model` is a shape with the method attached, `tensors` the trained ones by name. A trained tensor outside the
        base's files (a fresh head) is replaced whole.
        Raises NotMergeableError for a method that changes more than weights.
        """
        raise NotMergeableError(
            f"method {self.name!r} adds modules to the network, so it cannot be merged into the base; "
            f"use the adapter folder itself"
        )

    def options(self) -> dict[str, Any]:
        """What is needed to attach the method again: `name` and every option, as plain values."""
        return {"name": self.name, **self.model_dump(mode="json")}


def replaced(tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """Weights that merging replaces whole."""
    return {name: lambda _, tensor=tensor: tensor.float() for name, tensor in tensors.items()}  # type: ignore[misc]


def train_only(model: Model, names: set[str]) -> None:
    """Exactly the named parameters, and the head, require a gradient."""
    head = {name for name, _ in model.head_parameters()}
    for name, parameter in model.net.named_parameters():
        parameter.requires_grad_(name in names or name in head)
