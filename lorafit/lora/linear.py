"""Linear layers: one map, or several maps whose outputs lie side by side (such as query, key and value)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from lorafit.lora.fused import Geometry, base_linear, lora_linear
from lorafit.lora.layer import LoRALayer


class _LoraLinear(LoRALayer, nn.Linear):
    """lora_A [k*r, in] and lora_B [k*out/n, r], where k of the n equal slices of the output are adapted."""

    base_type = nn.Linear

    enable_lora: list[bool]
    fan_in_fan_out: bool = False

    def _build(
        self,
        enable_lora: Sequence[bool],
        r: int,
        lora_alpha: float,
        lora_dropout: float,
        merge_weights: bool,
        fan_in_fan_out: bool,
    ) -> None:
        """The rest of a constructor, as loralib has it: from the same seed come the same weights as there."""
        self._set_layout(enable_lora, fan_in_fan_out)
        if fan_in_fan_out:
            self.weight = nn.Parameter(self.weight.new_empty(self.in_features, self.out_features))
        self._add_adapter(r, lora_alpha, lora_dropout, merge_weights)
        self.reset_parameters()

    def _set_layout(self, enable_lora: Sequence[bool], fan_in_fan_out: bool) -> None:
        self.enable_lora, self.fan_in_fan_out = [bool(on) for on in enable_lora], fan_in_fan_out
        num_slices = len(enable_lora)
        if num_slices == 0 or self.out_features % num_slices:
            raise ValueError(f"{num_slices} slices do not divide {self.out_features} out_features")

    @classmethod
    def adapts(cls, module: nn.Module) -> bool:
        """Whether this is nn.Linear, or GPT-2's in Hugging Face: Conv1D, with its weight stored [in, out]."""
        return super().adapts(module) or _is_conv1d(module)

    @classmethod
    def _around(cls, module: Any, *, enable_lora: Sequence[bool]) -> Self:  # type: ignore[override]
        fan_in_fan_out = _is_conv1d(module)
        out_features, in_features = reversed(module.weight.shape) if fan_in_fan_out else module.weight.shape
        layer = cls.__new__(cls)
        nn.Linear.__init__(layer, in_features, out_features, bias=module.bias is not None, device="meta")
        layer.weight, layer.bias = module.weight, module.bias
        layer._set_layout(enable_lora, fan_in_fan_out)
        return layer

    def _plain(self) -> nn.Module:
        base = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        base.weight, base.bias = self.weight, self.bias
        if self.fan_in_fan_out:  # which no plain module has
            base.weight = nn.Parameter(self.weight.detach().T.contiguous(), self.weight.requires_grad)
        return base

    def _adapter_shapes(self, r: int) -> tuple[tuple[int, int], tuple[int, int]]:
        num_adapted = sum(self.enable_lora)
        width = self.out_features // len(self.enable_lora)
        return (num_adapted * r, self.in_features), (num_adapted * width, r)

    def reset_parameters(self) -> None:
        """Draw the base weight and bias as nn.Linear does, and the adapter as loralib does."""
        options: Any = {"device": self.weight.device, "dtype": self.weight.dtype}
        fresh = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, **options)
        with torch.no_grad():
            self.weight.copy_(fresh.weight.T if self.fan_in_fan_out else fresh.weight)
            if self.bias is not None:
                self.bias.copy_(fresh.bias)
        self.reset_lora_parameters()

    @property
    def geometry(self) -> Geometry:
        """Which slices of the output are adapted, and how the weight lies."""
        return Geometry(tuple(self.enable_lora), self.scaling, self.fan_in_fan_out)

    def delta_weight(self) -> Tensor:
        """ΔW = scaling * B A in the layout of `weight`, zero in the slices that are not adapted."""
        return self.delta_rows(0, self.in_features if self.fan_in_fan_out else self.out_features)

    def delta_rows(self, start: int, stop: int) -> Tensor:
        """ΔW[start:stop]: outputs, or inputs where the weight is stored [in, out]."""
        dtype = torch.promote_types(self.lora_A.dtype, torch.float32)
        lora_a, lora_b = self.lora_A.to(dtype), self.lora_B.to(dtype)
        if self.fan_in_fan_out:
            return self._update(lora_a[:, start:stop], lora_b, 0, self.out_features).T.contiguous()
        return self._update(lora_a, lora_b, start, stop)

    def _update(self, lora_a: Tensor, lora_b: Tensor, start: int, stop: int) -> Tensor:
        """Outputs start:stop of scaling * B A, for the inputs that `lora_a` has."""
        width = self.out_features // len(self.enable_lora)
        blocks = zip(self.geometry.blocks(lora_a), self.geometry.blocks(lora_b), strict=True)
        rows = []
        for i, on in enumerate(self.enable_lora):
            block_a, block_b = next(blocks) if on else (None, None)
            first, last = max(start - i * width, 0), min(stop - i * width, width)
            if first >= last:
                continue
            if block_a is None or block_b is None:
                rows.append(lora_a.new_zeros(last - first, lora_a.shape[1]))
            else:
                rows.append(self.scaling * block_b[first:last] @ block_a)
        return torch.cat(rows)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        merged_weight = self._current_merged_weight()
        if merged_weight is not None or not self.has_adapter:
            weight = self.weight if merged_weight is None else merged_weight
            return base_linear(x, weight, self.bias, self.fan_in_fan_out)
        dropout = self.lora_dropout.p if self.training else 0.0
        return lora_linear(x, (self.weight, self.bias), (self.lora_A, self.lora_B), self.geometry, dropout)

    def extra_repr(self) -> str:
        """The line in print(model)."""
        slices = f", enable_lora={self.enable_lora}" if len(self.enable_lora) > 1 else ""
        return super().extra_repr() + self._lora_repr() + slices


class Linear(_LoraLinear):
    """nn.Linear with an update of rank r.  lora_A [r, in], lora_B [out, r]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        r: int = 0,
        lora_alpha: float = 1,
        lora_dropout: float = 0.0,
        fan_in_fan_out: bool = False,
        merge_weights: bool = True,
        **kwargs: Any,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, **kwargs)
        self._build([True], r, lora_alpha, lora_dropout, merge_weights, fan_in_fan_out)

    @classmethod
    def _around(cls, module: Any) -> Self:  # type: ignore[override]
        return super()._around(module, enable_lora=[True])


class MergedLinear(_LoraLinear):
    """nn.Linear for several maps at once, with an update of rank r for each one that `enable_lora` names.

    With k of n adapted: lora_A [k*r, in], lora_B [k*out/n, r], block after block in the order of the output.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        r: int = 0,
        lora_alpha: float = 1,
        lora_dropout: float = 0.0,
        enable_lora: Sequence[bool] = (False,),
        fan_in_fan_out: bool = False,
        merge_weights: bool = True,
        **kwargs: Any,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, **kwargs)
        self._build(enable_lora, r, lora_alpha, lora_dropout, merge_weights, fan_in_fan_out)


def _is_conv1d(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and hasattr(module, "weight")
