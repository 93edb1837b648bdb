"""What a program that serves adapters is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model


class Program(ABC):
    """Loads adapters of one format. `help` is a few words on what it is.

    `adapter.card.base` names the base as the result is to name it; `shape` has the adapter's method attached and
    finished.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    format: ClassVar[str]

    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """Everything that the format can hold and the program does not compute, a few words each."""
        del adapter, shape
        return []

    def summary(self, adapter: Adapter, shape: Model) -> str:
        """By what an adapter without refusals is held against its limits, in a few words."""
        del adapter
        return f"{shown_ranks(shape)} on a {shape.family.model_type}"

    @abstractmethod
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """What serves the exported `folder`."""


def ranks_in_peft(shape: Model) -> dict[str, int]:
    """The rank that each module has as one PEFT LoRA: slices side by side add up."""
    from lorafit import lora

    return {name: len(layer.lora_A) for name, layer in lora.adapted_layers(shape.net).items()}


def shown_ranks(shape: Model) -> str:
    """ "rank 8", or "ranks 4 to 16"."""
    ranks = sorted(ranks_in_peft(shape).values())
    return f"rank {ranks[0]}" if ranks[0] == ranks[-1] else f"ranks {ranks[0]} to {ranks[-1]}"
