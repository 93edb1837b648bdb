"""LoRA factors between lorafit's layout and PEFT's, bit for bit.

layer           lorafit                                     PEFT
Linear          A [r, in], B [out, r]                       the same
MergedLinear    A [k r, in], B [k out/n, r]                 A the same, B [out, k r] with a block for each adapted slice
Embedding       A [r, num], B [dim, r]                      the same; A is zero for the padding token
convolution     A [g r, in/g |kernel|], B [out, r]          A [g r, in, *kernel] zero across groups, B [out, r, 1...]
"""

from __future__ import annotations

from itertools import product

from torch import Tensor, nn

from lorafit import lora
from lorafit.interop.base import Factors


def to_peft(layer: lora.LoRALayer, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """lorafit's A and B of a layer -> PEFT's. Raises ValueError where PEFT would compute something else."""
    if isinstance(layer, lora.Linear | lora.MergedLinear):
        return a, block_structured(b, layer.enable_lora, layer.r)
    if isinstance(layer, lora.Embedding):
        if layer.padding_idx is not None:
            a = a.clone()
            a[:, layer.padding_idx] = 0.0
        return a, b
    assert isinstance(layer, lora.ConvLoRA)
    conv = layer.conv
    if layer.layout == "loralib" and (conv.groups > 1 or conv.weight[0, 0].numel() > 1):
        raise ValueError("loralib's update of a kernel has no low-rank form in PEFT")
    if conv.padding_mode != "zeros" or set(conv.dilation) != {1}:
        raise ValueError("PEFT overlooks a convolution's dilation and padding mode")
    return _across_groups(a, conv), b.view(*b.shape, *[1] * len(conv.kernel_size)).contiguous()


def from_peft(a: Tensor, b: Tensor, module: nn.Module, num_slices: int, scale: float) -> Factors:
    """PEFT's A and B of a base module -> lorafit's. Raises ValueError where lorafit has no layer for them."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        r = a.shape[0] // module.groups
        return Factors(_within_groups(a, module), b.flatten(1), r, scale=scale)
    if num_slices > 1 and a.ndim == 2 and b.any():
        for enabled in sorted(product((True, False), repeat=num_slices), key=sum, reverse=True):
            narrow = _blocks(b, enabled)
            if narrow is not None:
                return Factors(a, narrow, a.shape[0] // sum(enabled), enabled, scale)
    return Factors(a, b, a.shape[0], scale=scale)


def block_structured(b: Tensor, enabled: list[bool], r: int) -> Tensor:
    """B of the adapted slices, [k * width, r] -> [n * width, k * r], one block for each adapted slice."""
    num_adapted = sum(enabled)
    width = b.shape[0] // num_adapted
    wide = b.new_zeros(len(enabled) * width, num_adapted * r)
    for block, index in enumerate(i for i, on in enumerate(enabled) if on):
        rows, columns = slice(index * width, (index + 1) * width), slice(block * r, (block + 1) * r)
        wide[rows, columns] = b[block * width : (block + 1) * width]
    return wide


def _blocks(wide: Tensor, enabled: tuple[bool, ...]) -> Tensor | None:
    """The inverse of block_structured; None where `wide` has not that structure."""
    num_adapted = sum(enabled)
    if num_adapted == 0 or wide.shape[1] % num_adapted or wide.shape[0] % len(enabled):
        return None
    r, width = wide.shape[1] // num_adapted, wide.shape[0] // len(enabled)
    indices = [i for i, on in enumerate(enabled) if on]
    pieces = [
        wide[i * width : (i + 1) * width, block * r : (block + 1) * r] for block, i in enumerate(indices)
    ]
    inside = sum(int(piece.count_nonzero()) for piece in pieces)
    if inside != int(wide.count_nonzero()) or any(not piece.any() for piece in pieces):
        return None
    narrow = wide.new_empty(num_adapted * width, r)
    for block, piece in enumerate(pieces):
        narrow[block * width : (block + 1) * width] = piece
    return narrow


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
