"""Fine-tuning methods, one file each. To add one: write its file, and its class into METHODS."""

from lorafit.methods.adapter import AdapterTuning
from lorafit.methods.base import Method
from lorafit.methods.bitfit import BitFit
from lorafit.methods.change import Added, Change, Replaced, WithRows
from lorafit.methods.full import Full
from lorafit.methods.lora import LoRA
from lorafit.methods.prefix import Prefix
from lorafit.methods.top2 import Top2

METHODS: dict[str, type[Method]] = {m.name: m for m in (LoRA, Full, Top2, BitFit, AdapterTuning, Prefix)}

__all__ = [
    "METHODS",
    "AdapterTuning",
    "Added",
    "BitFit",
    "Change",
    "Full",
    "LoRA",
    "Method",
    "Prefix",
    "Replaced",
    "Top2",
    "WithRows",
]
