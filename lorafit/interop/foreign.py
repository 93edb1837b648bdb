"""What a foreign adapter is on its way to lorafit: its tensors by module, then LoRA in lorafit's own layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lorafit.models import Family


@dataclass(frozen=True)
class Foreign:
    """What a foreign file holds.

    `layers`: by module name, the tensors of its adapter as they lie in the file, by the format's names for them.
    `others`: every other tensor by its name. `scales`: alpha / rank by module; empty where the format does not say.
    """

    path: Path
    layers: dict[str, dict[str, Tensor]]
    others: dict[str, Tensor]
    scales: dict[str, float] = field(default_factory=dict)
    dropout: float = 0.0


@dataclass(frozen=True)
class Factors:
    """LoRA of one module in lorafit's layout.

    `tensors`: by the names of the LoRA layer's own adapter parameters. `enabled`: which parts of the module's output
    are adapted. `scale`: alpha / r if known.
    """

    tensors: Mapping[str, Tensor]
    r: int
    enabled: tuple[bool, ...] = (True,)
    scale: float | None = None


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
