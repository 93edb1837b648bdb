"""What a foreign adapter is on its way to lorafit: its tensors by module, then LoRA in lorafit's own layout."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from lorafit.errors import AdapterError
from lorafit.files import JsonObject
from lorafit.models import Family, Model


@dataclass(frozen=True)
class Foreign:
    """What a foreign file holds.

    `layers`: by module name, the tensors of its adapter in float32, by the format's names for them.
    `others`: every other tensor by its name, in the file's dtype; those in `trained` were trained whole. `scales`:
    alpha / rank by module; empty where the format does not say. `settings`: what the file says of itself beside.
    """

    path: Path
    layers: dict[str, dict[str, Tensor]]
    others: dict[str, Tensor]
    scales: dict[str, float] = field(default_factory=dict)
    dropout: float = 0.0
    trained: frozenset[str] = frozenset()
    settings: JsonObject = field(default_factory=dict)

    def unwrapped(self, shape: Model) -> Foreign:
        """The same under the names of the base's `shape`, where all that is adapted lies in some outer module.

        `module.` of DistributedDataParallel, `model.` or any other attribute of a LightningModule.
        Raises AdapterError where it lies in several.
        """
        prefix = f"{shape.family.backbone}."
        modules = {name for name, _ in shape.net.named_modules()}
        modules |= {name.removeprefix(prefix) for name in modules}
        outer = {found for name in self.layers if (found := _outer(name, modules)) is not None}
        if len(outer) > 1:
            names = " and ".join(repr(name or "the file itself") for name in sorted(outer))
            raise AdapterError(f"{self.path}: holds several models, in {names}")
        inside = next(iter(outer), "")
        return replace(
            self,
            layers={name.removeprefix(inside): tensors for name, tensors in self.layers.items()},
            others={name.removeprefix(inside): tensor for name, tensor in self.others.items()},
            scales={name.removeprefix(inside): scale for name, scale in self.scales.items()},
        )


def _outer(name: str, modules: Container[str]) -> str | None:
    """What stands before the longest end of `name` that is a module's name; None where no end of it is."""
    parts = name.split(".")
    for i in range(len(parts)):
        if ".".join(parts[i:]) in modules:
            return "".join(f"{part}." for part in parts[:i])
    return None


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

    def levelled(self, r: int, scale: float, own_scale: float) -> Factors:
        """The same update at a rank of at least its own and at another scale: padded with zeros, the scale in B."""
        a, b = self.tensors["lora_A"], self.tensors["lora_B"]
        if r > self.r and len(a) % self.r == 0:
            a = F.pad(a.view(len(a) // self.r, self.r, -1), (0, 0, 0, r - self.r)).flatten(0, 1)
            b = F.pad(b, (0, r - self.r))
        if own_scale != scale:
            b = b * (own_scale / scale)
        return replace(self, tensors={**self.tensors, "lora_A": a, "lora_B": b}, r=r, scale=scale)


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
