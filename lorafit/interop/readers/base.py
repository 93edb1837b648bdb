"""What a reader of a foreign adapter format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

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
