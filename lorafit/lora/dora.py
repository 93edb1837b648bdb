"""DoRA (Liu et al. 2024): how long the rows of W + s B A are is learned apart from where they point.

    y = g (W x + s B A x) + b,    g = m / ‖W + s B A‖    for every output

The norm is a constant for the gradient (section 4.3), so m and the two factors get theirs through g and the sum.
It is found without W + s B A: for a row w of W and the row b of B,

    ‖w + s b A‖² = ‖w‖² + 2 s b · (A w) + s² b · (A Aᵀ b)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from typing_extensions import override

from lorafit.lora.fused import base_linear
from lorafit.lora.linear import MergedLinear
from lorafit.lora.starts import STARTS


class DoRALinear(MergedLinear):
    """A linear layer with a low-rank update and `lora_magnitude` m, one value for each output that is adapted.

    Departure from the paper's code: dropout, too, is on the input of A alone, as LoRA has it.
    """

    lora_magnitude: nn.Parameter
    _norms: tuple[object, Tensor] | None = None  # of what they were computed, and they
    _base_norms: tuple[object, Tensor] | None = None

    @override
    def _add_adapter(self, r: int, lora_alpha: float, *options: object) -> None:
        super()._add_adapter(r, lora_alpha, *options)
        if self.has_adapter:
            magnitude = self.lora_B.new_empty(len(self.lora_B))
            self.register_parameter("lora_magnitude", nn.Parameter(magnitude))

    @override
    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        own = {"lora_magnitude": self.lora_magnitude} if self.has_adapter else {}
        return super().adapter_parameters() | own

    @override
    def reset_lora_parameters(self, init: str = "loralib", generator: torch.Generator | None = None) -> None:
        """The magnitudes start as the norms, so that g is 1. ValueError for an init of STARTS."""
        if init in STARTS:
            raise ValueError(f"init {init!r} takes the start out of the weight, whose norms DoRA is about")
        super().reset_lora_parameters(init, generator)
        if self.has_adapter:
            with torch.no_grad():
                self.lora_magnitude.copy_(self._adapted_norms())

    @override
    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        if self.has_adapter and self.scaling == 0.0:  # see `lora.scaled`
            return base_linear(x, self.weight, self.bias, self.fan_in_fan_out)
        y = super().forward(x)
        if self.merged_weight is not None or not self.has_adapter:
            return y
        gain = self._full(self.lora_magnitude / self._adapted_norms()).to(y.dtype)
        if self.bias is None:
            return y * gain
        bias = self.bias.to(y.dtype)
        return torch.addcmul(bias - gain * bias, y, gain)

    def norms(self, blocks: Iterable[Tensor]) -> Tensor:
        """[out]: the norms of W + s B A, from all rows of W as it is stored, block by block."""
        squares, start = list[Tensor](), 0
        for block in blocks:
            rows = block + self.delta_rows(start, start + len(block))
            squares.append(rows.square().sum(0 if self.fan_in_fan_out else 1))
            start += len(block)
        return (torch.stack(squares).sum(0) if self.fan_in_fan_out else torch.cat(squares)).sqrt()

    def rescaled_rows(self, block: Tensor, start: int, norms: Tensor) -> Tensor:
        """Rows of W from `start` on -> those of the merged weight. `norms`: of the whole W + s B A."""
        adapted = torch.cat(self.geometry.slices(norms))
        gain = self._full(self.lora_magnitude.to(norms.dtype) / adapted)
        rows = self.delta_rows(start, start + len(block)).add_(block)
        return rows.mul_(gain if self.fan_in_fan_out else gain[start : start + len(block), None])

    @override
    def _sum(self) -> Tensor:
        """g (W + s B A), rounded once to the dtype of W."""
        weight = self.weight.to(torch.promote_types(self.lora_A.dtype, torch.float32))
        return self.rescaled_rows(weight, 0, self.norms([weight])).to(self.weight.dtype)

    def _full(self, adapted: Tensor) -> Tensor:
        """[sum of the adapted widths] -> [out], 1 in the parts that are not adapted."""
        if all(self.enable_lora):
            return adapted
        geometry = self.geometry
        of_part = dict(zip(geometry.adapted, geometry.b_blocks(adapted), strict=True))
        return torch.cat([of_part.get(i, adapted.new_ones(width)) for i, width in enumerate(self.parts)])

    @torch.inference_mode(False)  # what is computed while generating may be trained through later
    @torch.no_grad()
    def _adapted_norms(self) -> Tensor:
        """[sum of the adapted widths]: the norms now, computed anew where one of the tensors has changed."""
        made_of = (self._state(), self.weight.device, self.weight.dtype, self.scaling)
        if self._norms is None or self._norms[0] != made_of:
            self._norms = (made_of, self._squares().clamp_min_(0.0).sqrt_())
        return self._norms[1]

    def _squares(self) -> Tensor:
        geometry, s, squares = self.geometry, self.scaling, list[Tensor]()
        weight = self.weight.to(self.lora_A.dtype)
        of_parts = geometry.slices(weight if self.fan_in_fan_out else weight.T)
        blocks = zip(geometry.a_blocks(self.lora_A), geometry.b_blocks(self.lora_B), strict=True)
        for part, (a, b) in zip(of_parts, blocks, strict=True):
            mixed = 2 * s * (a @ part) + s * s * ((a @ a.T) @ b.T)  # [r, width]
            squares.append((mixed * b.T).sum(0))
        return torch.cat(squares) + self._base_squares(weight)

    def _base_squares(self, weight: Tensor) -> Tensor:
        """Of W alone, which does not change while it is frozen."""
        made_of = (self._state()[0], weight.device, weight.dtype)
        if self._base_norms is None or self._base_norms[0] != made_of:
            squares = weight.square().sum(0 if self.fan_in_fan_out else 1)
            self._base_norms = (made_of, torch.cat(self.geometry.slices(squares)))
        return self._base_norms[1]
