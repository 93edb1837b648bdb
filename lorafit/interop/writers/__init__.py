"""Writers of adapters for other programs, one file each. To add one: write its file, and its value into WRITERS."""

from lorafit.interop.writers.base import Writer
from lorafit.interop.writers.gguf import GgufWriter
from lorafit.interop.writers.loralib import LoralibWriter
from lorafit.interop.writers.peft import PeftWriter

WRITERS: dict[str, Writer] = {
    writer.name: writer
    for writer in (
        PeftWriter(),
        LoralibWriter(),
        GgufWriter(),
    )
}

__all__ = ["WRITERS", "Writer"]
