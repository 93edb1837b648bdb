"""Fine-tuning methods, one file each. To add one: write its file, and its class into METHODS."""

from lorafit.methods.base import Change, Method, RowwiseChange
from lorafit.methods.full import Full
from lorafit.methods.lora import LoRA, Update

METHODS: dict[str, type[Method]] = {method.name: method for method in (LoRA, Full)}

__all__ = ["METHODS", "Change", "Full", "LoRA", "Method", "RowwiseChange", "Update"]
