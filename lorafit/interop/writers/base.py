"""What a writer of adapters for another program is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.adapters import Adapter, AdapterCard
    from lorafit.models import Model


class Writer(ABC):
    """Writes adapters for one program. `help` is a few words on what it writes.

    `adapter.card.base` names the base as the result is to name it. `shape` is that base's shape, with the adapter's
    method attached and finished: its LoRA layers tell ranks, scales and slices.
    """

    name: ClassVar[str]
    help: ClassVar[str]

    @abstractmethod
    def refusals(self, adapter: Adapter, shape: Model) -> list[str]:
        """Everything about the adapter that the program cannot hold, one line each. Nothing has been written yet."""

    @abstractmethod
    def write(self, adapter: Adapter, shape: Model, target: Path) -> None:
        """Write an adapter without refusals into `target`, an empty folder."""

    @abstractmethod
    def card_paragraph(self, card: AdapterCard) -> str:
        """How to load what was written, and how it becomes an adapter folder again, in Markdown for its model card."""


def refusals_unless_low_rank(adapter: Adapter, shape: Model, format_name: str) -> list[str]:
    """A reason against every adapter without LoRA layers."""
    from lorafit import lora

    if lora.adapted_layers(shape.net):
        return []
    method = adapter.card.method["name"]
    return [f"method {method!r} has no counterpart in the {format_name} format; use merge"]


def refusals_of_added_rows(shape: Model, format_name: str) -> list[str]:
    """A reason against tokens that the base lacks, for formats without a place for them."""
    from lorafit.models import planned_tokens

    added = planned_tokens(shape.net.config)
    if added is None:
        return []
    return [
        f"{' and '.join(added.tokens)} have rows of their own in the embedding, and the {format_name} format has no "
        f"place for them; use merge"
    ]


def trained_of_base(adapter: Adapter, shape: Model) -> dict[str, Tensor]:
    """The tensors of the base itself that were trained, but for the head and the rows of added tokens."""
    beside, rows = tensors_beside_layers(adapter, shape), added_rows(adapter, shape)
    own = {name for name in beside if not shape.is_head(name)} - {f"{table}.rows" for table in rows}
    return {name: beside[name] for name in beside if name in own}


def added_rows(adapter: Adapter, shape: Model) -> dict[str, Tensor]:
    """The rows of added tokens by the name of the table; those of a tied head stand with the embedding."""
    from lorafit.models import tables_with_rows

    tables = [name for name, _ in tables_with_rows(shape.net)]
    return {name: adapter.tensors[f"{name}.rows"] for name in tables if f"{name}.rows" in adapter.tensors}


def tensors_beside_layers(adapter: Adapter, shape: Model) -> dict[str, Tensor]:
    """The trained tensors outside the LoRA layers."""
    from lorafit import lora

    in_layers = lora.adapter_parameters(shape.net)
    return {name: tensor for name, tensor in adapter.tensors.items() if name not in in_layers}


def shown_number(value: float) -> str:
    """A number as a model card and a command line have it."""
    return f"{value:.4g}"
