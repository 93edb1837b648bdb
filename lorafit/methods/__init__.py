"""Fine-tuning methods, one file each. To add one: write its file, and its class into METHODS."""

from lorafit.methods.base import Method
from lorafit.methods.full import Full
from lorafit.methods.lora import LoRA

METHODS: dict[str, type[Method]] = {method.name: method for method in (LoRA, Full)}

__all__ = ["METHODS", "Full", "LoRA", "Method"]
