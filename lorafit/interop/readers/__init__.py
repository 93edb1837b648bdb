"""Readers of foreign adapters, one file each. To add one: write its file, and its value into READERS."""

from lorafit.interop.readers.base import Reader
from lorafit.interop.readers.gguf import GgufReader
from lorafit.interop.readers.loralib import LoralibReader
from lorafit.interop.readers.peft import PeftReader

READERS: dict[str, Reader] = {reader.name: reader for reader in (PeftReader(), LoralibReader(), GgufReader())}

__all__ = ["READERS", "Reader"]
