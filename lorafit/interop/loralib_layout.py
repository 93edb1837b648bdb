"""The file of loralib: its name, its wrapper, and which layers it can hold."""

from __future__ import annotations

from functools import singledispatch

from torch import nn

from lorafit import lora

FILE = "pytorch_model_lora.bin"
WRAPPER = "model_state_dict"  # around GPT-2's tensors, whose names then begin with `module.`


def is_matrix(conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    """Kernels of one point, one group: where all layouts are one."""
    return conv.groups == 1 and set(conv.kernel_size) == {1}


@singledispatch
def refusal(layer: lora.LoRALayer) -> str | None:
    """Why loralib has no layer like this one; None where it has."""
    del layer
    return None


@refusal.register
def _(layer: lora.ConvLoRA) -> str | None:
    if layer.layout == "loralib" or is_matrix(layer.conv):
        return None
    return "loralib has no layer for an update of rank r of a kernel"


@refusal.register
def _(layer: lora.DoRALinear) -> str | None:
    del layer
    return "loralib has no magnitudes, which DoRA has"


@refusal.register
def _(layer: lora.MergedLinear) -> str | None:
    if len(set(layer.parts)) == 1:
        return None
    return f"loralib has no layer for parts that are {', '.join(map(str, layer.parts))} values wide"
