"""Linear layers: one map, or several maps whose outputs lie side by side (such as query, key and value)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from typing_extensions import override

from lorafit.lora.fused import Geometry, Stretch, base_linear, lora_linear
from lorafit.lora.with_start import LayerWithStart


class LoRALinear(LayerWithStart, nn.Linear):
    """lora_A [k*r, in] and lora_B [sum of the adapted widths, r], where k parts of the output are adapted."""

    base_type = nn.Linear

    enable_lora: list[bool]
    parts: tuple[int, ...]
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

    def _set_layout(
        self, enable_lora: Sequence[bool], fan_in_fan_out: bool, parts: Sequence[int] | None = None
    ) -> None:
        self.enable_lora, self.fan_in_fan_out = [bool(on) for on in enable_lora], fan_in_fan_out
        num_parts, width = len(enable_lora), self.out_features
        if parts is None:
            if num_parts == 0 or width % num_parts:
                raise ValueError(f"{num_parts} slices do not divide {width} out_features")
            parts = [width // num_parts] * num_parts
        if len(parts) != num_parts or sum(parts) != width or min(parts, default=0) < 1:
            raise ValueError(
                f"parts {list(parts)} are not {num_parts} widths that make up {width} out_features"
            )
        self.parts = tuple(parts)

    @classmethod
    def adapts(cls, module: nn.Module) -> bool:
        """Whether this is nn.Linear, one that computes the same in other words (Falcon has one), or GPT-2's Conv1D."""
        return super().adapts(module) or lies_transposed(module) or _computes_linear(module)

    @classmethod
    def _around_parts(
        cls, module: nn.Module, enable_lora: Sequence[bool], parts: Sequence[int] | None = None
    ) -> Self:
        weight, bias = module.get_parameter("weight"), module._parameters["bias"]
        fan_in_fan_out = lies_transposed(module)
        out_features, in_features = reversed(weight.shape) if fan_in_fan_out else weight.shape
        layer = cls.__new__(cls)
        nn.Linear.__init__(layer, in_features, out_features, bias=bias is not None, device="meta")
        layer.weight, layer._parameters["bias"] = weight, bias
        layer._set_layout(enable_lora, fan_in_fan_out, parts)
        return layer

    def _plain(self) -> nn.Module:
        base = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        base.weight, base.bias = self.weight, self.bias
        if self.fan_in_fan_out:  # which no plain module has
            base.weight = nn.Parameter(self.weight.detach().T.contiguous(), self.weight.requires_grad)
        return base

    def _adapter_shapes(self, r: int) -> tuple[tuple[int, int], tuple[int, int]]:
        widths = [width for width, on in zip(self.parts, self.enable_lora, strict=True) if on]
        return (len(widths) * r, self.in_features), (sum(widths), r)

    @property
    @override
    def full_rank(self) -> int:
        """Every adapted part has an update of its own; here that of the widest."""
        widths = [width for width, on in zip(self.parts, self.enable_lora, strict=True) if on]
        return min(self.in_features, max(widths))

    def reset_parameters(self) -> None:
        """Draw the base weight and bias as nn.Linear does, and the adapter as loralib does."""
        device, dtype, has_bias = self.weight.device, self.weight.dtype, self.bias is not None
        fresh = nn.Linear(self.in_features, self.out_features, bias=has_bias, device=device, dtype=dtype)
        with torch.no_grad():
            self.weight.copy_(fresh.weight.T if self.fan_in_fan_out else fresh.weight)
            if self.bias is not None:
                self.bias.copy_(fresh.bias)
        self.reset_lora_parameters()

    @property
    @override
    def geometry(self) -> Geometry:
        """Which parts of the output are adapted, and how the weight lies."""
        return Geometry(tuple(self.enable_lora), self.parts, self.scaling, self.fan_in_fan_out)

    def delta_weight(self) -> Tensor:
        """ΔW = scaling * B A in the layout of `weight`, zero in the parts that are not adapted."""
        return self.delta_rows(0, self.in_features if self.fan_in_fan_out else self.out_features)

    def delta_rows(self, start: int, stop: int) -> Tensor:
        """ΔW[start:stop]: outputs, or inputs where the weight is stored [in, out]."""
        dtype = torch.promote_types(self.lora_A.dtype, torch.float32)
        lora_a, lora_b = self.lora_A.to(dtype), self.lora_B.to(dtype)
        if self.fan_in_fan_out:
            return self._update(lora_a[:, start:stop], lora_b, 0, self.out_features)
        return self._update(lora_a, lora_b, start, stop)

    def _update(self, lora_a: Tensor, lora_b: Tensor, start: int, stop: int) -> Tensor:
        """Outputs start:stop of scaling * B A, for the inputs that `lora_a` has, in the layout of `weight`."""
        geometry = self.geometry
        blocks = zip(geometry.a_blocks(lora_a), geometry.b_blocks(lora_b), strict=True)
        of_part = dict(zip(geometry.adapted, blocks, strict=True))
        parts, offset, num_inputs = [], 0, lora_a.shape[1]
        for i, width in enumerate(self.parts):
            first, last = max(start - offset, 0), min(stop - offset, width)
            offset += width
            if first >= last:
                continue
            if i in of_part:
                block_a, block_b = of_part[i]
                factor = self.scaling * block_b[first:last]
                parts.append(block_a.T @ factor.T if self.fan_in_fan_out else factor @ block_a)
            else:
                size = (num_inputs, last - first) if self.fan_in_fan_out else (last - first, num_inputs)
                parts.append(lora_a.new_zeros(size))
        return torch.cat(parts, dim=1 if self.fan_in_fan_out else 0)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        merged_weight = self._current_merged_weight()
        if merged_weight is not None or not self.has_adapter:
            weight = self.weight if merged_weight is None else merged_weight
            return base_linear(x, weight, self.bias, self.fan_in_fan_out)
        dropout, base, adapter = self.lora_dropout, (self.weight, self.bias), (self.lora_A, self.lora_B)
        p = dropout.p if self.training else 0.0
        return lora_linear(x, base, adapter, self.geometry, p, dropout.draws)

    def stretch(self, rows: slice) -> Stretch:
        """Its update for some rows of a product that it shares with other adapters of the same base layer."""
        dropout = self.lora_dropout
        p = dropout.p if self.training else 0.0
        return Stretch(rows, (self.lora_A, self.lora_B), self.geometry, p, dropout.draws)

    def extra_repr(self) -> str:
        """The line in print(model)."""
        slices = f", enable_lora={self.enable_lora}" if len(self.enable_lora) > 1 else ""
        unequal = f", parts={list(self.parts)}" if len(set(self.parts)) > 1 else ""
        return super().extra_repr() + self._lora_repr() + slices + unequal


class Linear(LoRALinear):
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
    def _around(cls, module: nn.Module) -> Self:
        return cls._around_parts(module, [True])


class MergedLinear(LoRALinear):
    """nn.Linear for several maps at once, with an update of rank r for each one that `enable_lora` names.

    With k of n adapted: lora_A [k*r, in], lora_B [k*out/n, r], block after block in the order of the output.
    Where the maps are not equally wide (grouped keys and values beside the queries), `from_base` takes their
    widths as `parts`, and lora_B is [sum of the adapted widths, r].
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

    @classmethod
    def _around(
        cls, module: nn.Module, enable_lora: Sequence[bool] = (True,), parts: Sequence[int] | None = None
    ) -> Self:
        return cls._around_parts(module, enable_lora, parts)


def _computes_linear(module: nn.Module) -> bool:
    """Whether a subclass holds what nn.Linear holds and nothing else, and computes x W^T + b."""
    if not isinstance(module, nn.Linear) or isinstance(module, NonDynamicallyQuantizableLinear):
        return False
    own = {
        name for name in vars(module).keys() - vars(nn.Linear(1, 1, device="meta")).keys() if name[0] != "_"
    }
    return not own and _kind_computes_linear(type(module).forward)


@cache
def _kind_computes_linear(forward: Callable[[nn.Linear, Tensor], Tensor]) -> bool:
    """Tried on a few numbers."""
    generator = torch.Generator().manual_seed(0)
    for has_bias in (True, False):
        layer = nn.Linear(3, 2, bias=has_bias)
        x = torch.randn(2, 4, 3, generator=generator)
        try:
            with torch.no_grad():
                if not torch.allclose(forward(layer, x), F.linear(x, layer.weight, layer.bias), atol=1e-6):
                    return False
        except Exception:  # whatever it needs beside a weight and a bias
            return False
    return True


def lies_transposed(module: nn.Module) -> bool:
    """Whether it is GPT-2's Conv1D, whose weight is stored [in, out]."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and hasattr(module, "weight")
