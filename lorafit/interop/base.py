"""What a foreign adapter format is: a reader and a writer, and the neutral form between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from lorafit import lora
from lorafit.adapters import Adapter
from lorafit.errors import AdapterError
from lorafit.models import Family, Model


@dataclass(frozen=True)
class Factors:
    """LoRA of one module in lorafit's layout: which slices of its output are adapted, A, B, and alpha / r if known."""

    lora_a: Tensor
    lora_b: Tensor
    r: int
    enabled: tuple[bool, ...] = (True,)
    scale: float | None = None


@dataclass(frozen=True)
class Foreign:
    """What a foreign file holds: A and B by module name as they lie there, and every other tensor by its name."""

    path: Path
    pairs: dict[str, tuple[Tensor, Tensor]]
    others: dict[str, Tensor]
    scales: dict[str, float] = field(default_factory=dict)  # alpha / rank by module; empty where it says none
    dropout: float = 0.0
    base: str | None = None


class Format(ABC):
    """A foreign format. `write` gets a shape with the adapter's method attached."""

    name: ClassVar[str]
    holds_alpha: ClassVar[bool]

    @abstractmethod
    def write(self, adapter: Adapter, shape: Model, base: str, revision: str | None, folder: Path) -> None:
        """Write the adapter into an existing folder. Raises AdapterError for what the format cannot express."""

    @abstractmethod
    def read(self, path: Path) -> Foreign:
        """Read a file, or the folder that holds it.

        Raises NotFoundError where there is none, AdapterError where it cannot be read or used.
        """

    @abstractmethod
    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """A and B of one module of the base in lorafit's layout. Raises AdapterError where they do not fit it."""


@dataclass(frozen=True)
class Slices:
    """Into how many equal slices a module's output falls (query, key and value: 3), and which were asked for."""

    count: int = 1
    wanted: tuple[bool, ...] | None = None

    @staticmethod
    def of(family: Family, name: str, targets: tuple[str, ...] | None) -> Slices:
        """Those of the family's table."""
        places = {
            t: p for t, p in family.places.items() if name.endswith(f".{p.module}") and p.num_slices > 1
        }
        if not places:
            return Slices()
        count = next(iter(places.values())).num_slices
        asked = {p.slice for t, p in places.items() if targets and t in targets}
        return Slices(count, tuple(i in asked for i in range(count)) if asked else None)


def adapted_layers(shape: Model) -> dict[str, lora.LoRALayer]:
    """Every layer with an adapter, by name."""
    named = shape.net.named_modules()
    return {name: m for name, m in named if isinstance(m, lora.LoRALayer) and m.has_adapter}


def other_tensors(adapter: Adapter, layers: Mapping[str, lora.LoRALayer]) -> dict[str, Tensor]:
    """The trained tensors that are no LoRA factor: the head."""
    factors = {f"{name}.{factor}" for name in layers for factor in ("lora_A", "lora_B")}
    return {name: tensor for name, tensor in adapter.tensors.items() if name not in factors}


def refuse_unless_lora(adapter: Adapter, format_name: str) -> None:
    """Raises AdapterError for a method other than LoRA."""
    method = adapter.card.method.get("name")
    if method != "lora":
        raise AdapterError(
            f"{adapter.folder}: method {method!r} has no counterpart in the {format_name} format; use merge"
        )
