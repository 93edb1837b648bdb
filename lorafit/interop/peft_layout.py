"""PEFT's folder: the names of its files and tensors, and LoRA factors between lorafit's layout and PEFT's, bit for bit.

layer           lorafit                                     PEFT
Linear          A [r, in], B [out, r]                       the same
MergedLinear    A [k r, in], B [adapted widths, r]          A the same, B [out, k r] with a block for each adapted slice
DoRALinear      the same, magnitude [adapted widths]        the same, magnitude [out]
Embedding       A [r, num], B [dim, r]                      the same; A is zero for the padding token
convolution     A [g r, in/g |kernel|], B [out, r]          A [g r, in, *kernel] zero across groups, B [out, r, 1...]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from itertools import accumulate, product

import torch
from torch import Tensor, nn

from lorafit import lora
from lorafit.interop.foreign import Factors

TENSOR_FILE = "adapter_model.safetensors"
PICKLE_FILE = "adapter_model.bin"
MAGNITUDE = "lora_magnitude_vector"


@singledispatch
def refusal(layer: lora.LoRALayer) -> str | None:
    """Why PEFT would compute something else with this layer's adapter; None where it computes the same."""
    del layer
    return None


@refusal.register
def _(layer: lora.ConvLoRA) -> str | None:
    conv = layer.conv
    if layer.layout == "loralib" and (conv.groups > 1 or conv.weight[0, 0].numel() > 1):
        return "loralib's update of a kernel has no low-rank form in PEFT"
    if conv.padding_mode != "zeros" or set(conv.dilation) != {1}:
        return "PEFT overlooks a convolution's dilation and padding mode"
    return None


@refusal.register
def _(layer: lora.DoRALinear) -> str | None:
    if not all(layer.enable_lora):
        return "PEFT rescales every output of a module that has DoRA, and not just some parts"
    return None


@singledispatch
def to_peft(layer: lora.LoRALayer) -> dict[str, Tensor]:
    """The adapter of a layer without refusal, by PEFT's names for it."""
    raise TypeError(f"{type(layer).__name__}: no layout in PEFT")


@to_peft.register
def _(layer: lora.Linear) -> dict[str, Tensor]:
    return _named(layer.lora_A, layer.lora_B)


@to_peft.register
def _(layer: lora.MergedLinear) -> dict[str, Tensor]:
    return _named(layer.lora_A, block_structured(layer.lora_B, layer.enable_lora, layer.parts, layer.r))


@to_peft.register
def _(layer: lora.DoRALinear) -> dict[str, Tensor]:
    b = block_structured(layer.lora_B, layer.enable_lora, layer.parts, layer.r)
    return _named(layer.lora_A, b) | {MAGNITUDE: layer.lora_magnitude.detach()}


@to_peft.register
def _(layer: lora.Embedding) -> dict[str, Tensor]:
    a = layer.lora_A.detach()
    if layer.padding_idx is not None:
        a = a.clone()
        a[:, layer.padding_idx] = 0.0
    return {"lora_embedding_A": a, "lora_embedding_B": layer.lora_B.detach()}


@to_peft.register
def _(layer: lora.ConvLoRA) -> dict[str, Tensor]:
    b, conv = layer.lora_B, layer.conv
    return _named(_across_groups(layer.lora_A, conv), b.view(*b.shape, *[1] * len(conv.kernel_size)))


def _named(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    return {"lora_A.weight": a.detach(), "lora_B.weight": b.detach().contiguous()}


def from_peft(tensors: Mapping[str, Tensor], module: nn.Module, num_slices: int, scale: float) -> Factors:
    """PEFT's A, B and M of a base module -> lorafit's. Raises ValueError where lorafit has no layer for them."""
    a, b = tensors["A"], tensors["B"]
    if (magnitude := tensors.get("M")) is not None:
        if not lora.DoRALinear.adapts(module):
            raise ValueError(f"DoRA of a {type(module).__name__} has no layer here")
        every = {"lora_A": a, "lora_B": b, "lora_magnitude": magnitude}
        return Factors(every, a.shape[0], scale=scale)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        r = a.shape[0] // module.groups
        return Factors({"lora_A": _within_groups(a, module), "lora_B": b.flatten(1)}, r, scale=scale)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None and a[:, module.padding_idx].any():
        raise ValueError("its update changes the row of the padding token, which lorafit's leaves as it is")
    if num_slices > 1 and a.ndim == 2 and b.any() and b.shape[0] % num_slices == 0:
        parts = (b.shape[0] // num_slices,) * num_slices
        for enabled in sorted(product((True, False), repeat=num_slices), key=sum, reverse=True):
            narrow = _blocks(b, enabled, parts)
            if narrow is not None:
                r = a.shape[0] // sum(enabled)
                return Factors({"lora_A": a, "lora_B": narrow}, r, enabled, scale)
    return Factors({"lora_A": a, "lora_B": b}, a.shape[0], scale=scale)


def block_structured(b: Tensor, enabled: Sequence[bool], parts: Sequence[int], r: int) -> Tensor:
    """B of the adapted parts, [sum of their widths, r] -> [out, k r], one block for each adapted part."""
    wide = b.new_zeros(sum(parts), sum(enabled) * r)
    start = 0
    for block, (first, width) in enumerate(_adapted(enabled, parts)):
        wide[first : first + width, block * r : (block + 1) * r] = b[start : start + width]
        start += width
    return wide


def _adapted(enabled: Sequence[bool], parts: Sequence[int]) -> list[tuple[int, int]]:
    """First output and width of every adapted part."""
    starts = accumulate(parts, initial=0)
    return [(start, width) for start, width, on in zip(starts, parts, enabled, strict=False) if on]


def _blocks(wide: Tensor, enabled: Sequence[bool], parts: Sequence[int]) -> Tensor | None:
    """The inverse of block_structured; None where `wide` has not that structure."""
    num_adapted = sum(enabled)
    if num_adapted == 0 or wide.shape[1] % num_adapted:
        return None
    r = wide.shape[1] // num_adapted
    pieces = [
        wide[first : first + width, block * r : (block + 1) * r]
        for block, (first, width) in enumerate(_adapted(enabled, parts))
    ]
    inside = sum(int(piece.count_nonzero()) for piece in pieces)
    if inside != int(wide.count_nonzero()) or any(not piece.any() for piece in pieces):
        return None
    return torch.cat(pieces)


def _across_groups(a: Tensor, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """[g r, in/g |kernel|] -> [g r, in, *kernel]: each group's rows see its own channels."""
    groups, inside = conv.groups, conv.in_channels // conv.groups
    a = a.view(a.shape[0], inside, *conv.kernel_size)
    wide = a.new_zeros(a.shape[0], conv.in_channels, *conv.kernel_size)
    r = a.shape[0] // groups
    for g in range(groups):
        wide[g * r : (g + 1) * r, g * inside : (g + 1) * inside] = a[g * r : (g + 1) * r]
    return wide


def _within_groups(wide: Tensor, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """The inverse. Raises ValueError where a row sees channels of another group."""
    groups, inside = conv.groups, conv.in_channels // conv.groups
    r = wide.shape[0] // groups
    rows = [wide[g * r : (g + 1) * r, g * inside : (g + 1) * inside] for g in range(groups)]
    narrow = rows[0].new_empty(groups * r, inside, *conv.kernel_size)
    for g, row in enumerate(rows):
        narrow[g * r : (g + 1) * r] = row
    if narrow.count_nonzero() != wide.count_nonzero():
        raise ValueError("its update reaches across the groups of the convolution, which lorafit's cannot")
    return narrow.flatten(1)
