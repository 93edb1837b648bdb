"""Convolutions: loralib's update of the kernel, and an update that has the rank asked for.

layout      lora_A                      lora_B                  ΔW [out, in/groups, *kernel]
"per_group" [groups*r, in/groups*|k|]   [out, r]                for each group B_g A_g, of rank r
"loralib"   [r*k, in*k]                 [out/groups*k, r*k]     B A read row by row, of rank r*k

|k| is the number of points of the kernel. loralib's layout exists for square 2-D kernels only. For kernels of
one point, and one group, the two are the same.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorafit.lora.layer import HALF, LoRALayer

ConvLayout = Literal["loralib", "per_group"]
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvLoRA(LoRALayer):
    """A convolution, kept as the sub-module `conv`, with lora_A and lora_B beside it, as loralib keeps it.

    `layout` None: loralib's wherever loralib has one, so that its files fit; "per_group" for other kernels.
    State dicts are loralib's; those of a plain convolution (`weight` for `conv.weight`) load too.
    """

    base_type: ClassVar[type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]]

    conv: Convolution
    layout: ConvLayout

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        r: int = 0,
        lora_alpha: float = 1,
        lora_dropout: float = 0.0,
        merge_weights: bool = True,
        layout: ConvLayout | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        kwargs["kernel_size"] = kernel_size
        self._set_conv(self.base_type(in_channels, out_channels, **kwargs), layout)
        self._add_adapter(r, lora_alpha, lora_dropout, merge_weights)
        self.reset_parameters()

    @classmethod
    def _around(cls, module: nn.Module, layout: ConvLayout | None = "per_group") -> Self:
        if not isinstance(module, Convolution):
            raise TypeError(f"{type(module).__name__} is no convolution")
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._set_conv(module, layout)
        return layer

    def to_base(self) -> nn.Module:
        """The convolution without adapter."""
        return self.conv

    def _set_conv(self, conv: Convolution, layout: ConvLayout | None) -> None:
        kernel = conv.kernel_size
        in_loralib = (len(kernel) == 2 and len(set(kernel)) == 1) or math.prod(kernel) == 1
        if layout == "loralib" and not in_loralib:
            raise ValueError(f"loralib has no layout for a kernel of {kernel}; use layout='per_group'")
        self.conv = conv
        self.layout = layout or ("loralib" if in_loralib else "per_group")

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        """The convolution's `weight` and `bias` too, which code around such a layer reads."""
        return getattr(self.conv, name) if name in ("weight", "bias") else super().__getattr__(name)

    def _adapter_shapes(self, r: int) -> tuple[tuple[int, int], tuple[int, int]]:
        conv, k = self.conv, self.conv.kernel_size[0]
        if self.layout == "loralib":
            return (r * k, conv.in_channels * k), (conv.out_channels // conv.groups * k, r * k)
        fan_in = conv.in_channels // conv.groups * math.prod(conv.kernel_size)
        return (conv.groups * r, fan_in), (conv.out_channels, r)

    def reset_parameters(self) -> None:
        """Draw the base kernel as the convolution does, and the adapter as loralib does."""
        self.conv.reset_parameters()
        self.reset_lora_parameters()

    def delta_weight(self) -> Tensor:
        """ΔW = scaling * B A in the layout of `weight`."""
        dtype = torch.promote_types(self.lora_A.dtype, torch.float32)
        lora_a, lora_b = self.lora_A.to(dtype), self.lora_B.to(dtype)
        if self.layout == "per_group":
            groups = self.conv.groups
            lora_a, lora_b = lora_a.view(groups, self.r, -1), lora_b.view(groups, -1, self.r)
        return self.scaling * (lora_b @ lora_a).view(self.weight.shape)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with its stride, padding, dilation and groups, but with another kernel."""
        y: Tensor = self.conv._conv_forward(x, weight, bias)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """x [N, in, *size] or [in, *size] -> [N, out, *size'] or [out, *size']."""
        merged_weight = self._current_merged_weight()
        if merged_weight is not None:
            return self._convolve(x, merged_weight, self.conv.bias)
        if not self.has_adapter:
            y: Tensor = self.conv(x)
            return y
        if self.layout == "loralib":
            return self._forward_loralib(x)
        dropped, ones = self.lora_dropout(x), [1] * len(self.conv.kernel_size)
        h = self._convolve(dropped, self.lora_A.to(x.dtype).view(-1, *self.weight.shape[1:]), None)
        kernel_b = self.lora_B.to(x.dtype).view(*self.lora_B.shape, *ones)
        update = _CONVOLVE[len(ones)](h, kernel_b, groups=self.conv.groups)
        return torch.add(self.conv(x), update, alpha=self.scaling)

    def _forward_loralib(self, x: Tensor) -> Tensor:
        """One convolution with W + ΔW, as loralib has it: this ΔW has no cheaper form.

        Two where one will not do: only the update sees dropout, and 16 bits would round small updates away.
        """
        delta = self.delta_weight()
        if self.weight.dtype in HALF or (self.training and self.lora_dropout.p > 0):
            return torch.add(self.conv(x), self._convolve(self.lora_dropout(x), delta.to(x.dtype), None))
        return self._convolve(x, self.weight + delta, self.conv.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """Accept a plain convolution's `weight` and `bias` too, alone or beside `conv.weight`."""
        for name in ("weight", "bias"):
            if prefix + name in state_dict:
                state_dict.setdefault(f"{prefix}conv.{name}", state_dict.pop(prefix + name))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """The line in print(model)."""
        return self._lora_repr().removeprefix(", ") + f", layout={self.layout!r}"


class Conv1d(ConvLoRA):
    """nn.Conv1d with a low-rank update."""

    base_type = nn.Conv1d


class Conv2d(ConvLoRA):
    """nn.Conv2d with a low-rank update."""

    base_type = nn.Conv2d


class Conv3d(ConvLoRA):
    """nn.Conv3d with a low-rank update."""

    base_type = nn.Conv3d
