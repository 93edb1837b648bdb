"""Foreign formats, one file each. To add one: write its file, and its function into EXPORTS."""

from collections.abc import Callable
from pathlib import Path

from lorafit.adapters import Adapter
from lorafit.interop.hf_merged import write_merged
from lorafit.interop.peft import write_peft

EXPORTS: dict[str, Callable[[Adapter, str, str | None, Path], None]] = {"peft": write_peft}

__all__ = ["EXPORTS", "write_merged", "write_peft"]
