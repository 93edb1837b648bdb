"""PEFT, whose limits are those of its format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lorafit.interop.programs.base import Program
from lorafit.interop.writers.peft import literal, loaded_base, resized

if TYPE_CHECKING:
    from lorafit.adapters import Adapter
    from lorafit.models import Model


class Peft(Program):
    """`PeftModel.from_pretrained` around a base."""

    name: ClassVar[str] = "peft"
    help: ClassVar[str] = "in Python"
    format: ClassVar[str] = "peft"

    @override
    def command(self, adapter: Adapter, shape: Model, folder: Path) -> str:
        """One expression in Python, behind what makes room for added tokens."""
        base, room = loaded_base(adapter.card), resized(shape)
        if room:
            return f"base = {base}; base{room}; PeftModel.from_pretrained(base, {literal(folder)})"
        return f"PeftModel.from_pretrained({base}, {literal(folder)})"
