"""transformers, which loads PEFT's adapters where PEFT is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.programs.base import Program
from lorafit.interop.writers.peft import literal, loaded_base, resized

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model


class Transformers(Program):
    """`load_adapter` of a base."""

    name: ClassVar[str] = "transformers"
    help: ClassVar[str] = "in Python, with its own classes"
    format: ClassVar[str] = "peft"

    @override
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """Statements in Python."""
        room = f"model{room}; " if (room := resized(shape)) else ""
        return f"model = {loaded_base(adapter.card)}; {room}model.load_adapter({literal(folder)})"
