"""What a reader of a foreign adapter format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.errors import AdapterError, DamagedError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lorafit.interop.base_tensors import BaseTensors
    from lorafit.interop.foreign import Factors, Foreign, Slices


class Reader(ABC):
    """Reads the adapters of one program.

    `help` is a few words on what it reads; `holds_alpha` says whether its files hold LoRA's alpha.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    holds_alpha: ClassVar[bool]

    @abstractmethod
    def read(self, path: Path) -> Foreign:
        """Read a file, or the folder that holds it.

        Raises NotFoundError where there is none, AdapterError where it cannot be read or used.
        """

    def on_base(self, foreign: Foreign, base: BaseTensors) -> Foreign:
        """The same with what only the base can tell: what of it was trained whole, and what its own weights do to the
        adapter. Raises AdapterError where they do not fit."""
        del base
        return foreign

    @abstractmethod
    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """The adapter of one module of the base in lorafit's layout. Raises AdapterError where it does not fit it."""


class PairReader(Reader):
    """Reads files that hold the two factors of each module in PEFT's layout, and their scales."""

    holds_alpha: ClassVar[bool] = True

    @override
    def factors(self, foreign: Foreign, name: str, module: nn.Module, slices: Slices) -> Factors:
        """Out of PEFT's layout."""
        from lorafit.interop.peft_layout import from_peft

        try:
            return from_peft(foreign.layers[name], module, slices.count, foreign.scales[name])
        except ValueError as error:
            raise AdapterError(f"{foreign.path}: {name!r}: {error}") from None


def check_pairs(path: Path, layers: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raises AdapterError where there are no layers, DamagedError where one of them lacks a factor."""
    if half := sorted(name for name, factors in layers.items() if not factors.keys() >= {"A", "B"}):
        raise DamagedError(f"{path}: {half[0]!r} has only one of its two factors")
    if not layers:
        raise AdapterError(f"{path}: holds no adapter")
