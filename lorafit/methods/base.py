"""What every fine-tuning method is: a frozen value with its options as fields and two verbs.

Reading a method's options needs no torch. What attaches and merges imports what it needs when it is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lorafit.errors import NotMergeableError
from lorafit.recipe import MethodSection

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from lorafit.methods.change import Change
    from lorafit.models import Model, TrainedSet


@dataclass(frozen=True)
class LeftOutAtDefault:
    """Marks an option that came after adapters were written: what says nothing of it goes on meaning the same, and
    stays the same bytes when it is written again."""


class Method(MethodSection, ABC):
    """A way of fine-tuning: its fields are the keys of the recipe's `[method]` section.

    `attach` changes the net in place and nothing else.
    """

    name: ClassVar[str]
    low_rank: ClassVar[bool] = False
    """Whether all that it trains, apart from the head, lies in LoRA layers, which other programs have a format for."""

    @property
    def num_positions(self) -> int:
        """Positions of a decoder that the method takes for itself: so many fewer are left for tokens."""
        return 0

    @property
    def warm_start_source(self) -> str | None:
        """The adapter folder that training starts from, where the method was asked to start from one."""
        return None

    @property
    def changes_base(self) -> bool:
        """Whether training goes on from other weights of the base than its own."""
        return False

    def warm_start_conflict(self, theirs: Method) -> str | None:
        """Why an adapter that `theirs` trained cannot be the start: what stands behind "the adapter ...". None: it can.

        Shapes and names of tensors are compared elsewhere.
        """
        return f"was trained with {theirs.name}, and {self.name} starts from no other adapter"

    @abstractmethod
    def attach(self, model: Model, generator: torch.Generator | None = None) -> TrainedSet:
        """Put the method's parameters into the net, and let exactly those (and the head) require a gradient.

        Returns them by name. `generator` draws the initial values.
        Raises RecipeError where the architecture does not have what is asked for.
        """

    def shortfalls(self, model: Model) -> list[str]:
        """Notes on what the options promise by their words and the bare base `model` has no place for.

        Raises RecipeError where that cannot be meant.
        """
        del model
        return []

    def check(self, model: Model) -> None:
        """Before training, with the method attached to `model`, which may be a shape: whether its options can be meant.

        Raises RecipeError for those with which a smaller number would do the same. Adapters that have them stay usable.
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
        import torch

        self.attach(model, torch.Generator().manual_seed(0))
        self.finish(model)

    def finish(self, model: Model) -> None:
        """Put the results of training in the place of what only training needs.

        Afterwards `model.trained()` is `saved_tensors`, name by name, which is how an adapter folder is loaded:
        attach, finish, then copy its tensors in.
        """

    def changed_weights(self, model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
        """What merging does to the base, by parameter name.

        `model` is a shape with the method attached, `tensors` the trained ones by name. A trained tensor outside the
        base's files (a fresh head) is replaced whole.
        Raises NotMergeableError for a method that changes more than weights.
        """
        del model, tensors
        raise NotMergeableError(
            f"method {self.name!r} adds modules to the network, so it cannot be merged into the base; "
            f"use the adapter folder itself"
        )

    def options(self) -> dict[str, Any]:
        """What is needed to attach the method again: `name` and every option, as plain values; options that are
        LeftOutAtDefault where they say something."""
        later = {
            key
            for key, field in type(self).model_fields.items()
            if LeftOutAtDefault() in field.metadata and getattr(self, key) == field.default
        }
        return {"name": self.name, **self.model_dump(mode="json", exclude=later)}


def train_only(model: Model, names: Set[str]) -> TrainedSet:
    """Let exactly the named parameters, the head and the rows of added tokens require a gradient; returns them by name.

    A part of the backbone that counts as head trains where the head makes use of it.
    """
    from lorafit.models import any_number, tables_with_rows, unreached_layers

    idle: tuple[str, ...] = ()
    if model.head.of_backbone:
        idle = unreached_layers(model.family, model.net.config, model.output)
    head = {name for name, _ in model.head_parameters() if any_number(name.rpartition(".")[0]) not in idle}
    rows = {id(table.rows) for _, table in tables_with_rows(model.net)}
    for name, parameter in model.net.named_parameters():
        parameter.requires_grad_(name in names or name in head or id(parameter) in rows)
    return model.trained()
