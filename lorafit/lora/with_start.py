"""Layers whose adapter may start as a part of the base's weight (see `starts`)."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lorafit.lora.fused import Geometry
from lorafit.lora.layer import LoRALayer
from lorafit.lora.starts import STARTS, Start


class LayerWithStart(LoRALayer):
    """A layer of linear maps, whose adapter may start as a part of its weight."""

    fan_in_fan_out: bool
    start_a: Tensor | None
    start_b: Tensor | None
    _whole: tuple[nn.Parameter] | None = None  # the weight before; in a tuple, so that it is not registered

    @property
    def geometry(self) -> Geometry:
        """Which parts of the output are adapted, and how the weight lies."""
        raise NotImplementedError

    @override
    def _add_adapter(self, r: int, lora_alpha: float, *options: Any) -> None:
        super()._add_adapter(r, lora_alpha, *options)
        for name in ("start_a", "start_b"):
            self.register_buffer(name, None, persistent=False)

    @override
    def reset_lora_parameters(self, init: str = "loralib", generator: torch.Generator | None = None) -> None:
        """An init of STARTS takes the adapter out of the weight, which this layer then has another one for."""
        if self.has_adapter and init in STARTS:
            self._take_start(init, STARTS[init])
        else:
            super().reset_lora_parameters(init, generator)

    @torch.no_grad()
    def _take_start(self, init: str, start: Start) -> None:
        """lora_A, lora_B and a weight W - s B A, which together are W. ValueError where W has no such rank."""
        geometry, weight = self.geometry, self.weight.float()
        of_parts = geometry.slices(weight if self.fan_in_fan_out else weight.T)
        blocks = zip(geometry.a_blocks(self.lora_A), geometry.b_blocks(self.lora_B), strict=True)
        for part, (block_a, block_b) in zip(of_parts, blocks, strict=True):
            if min(part.shape) < self.r:
                raise ValueError(f"init {init!r}: a weight {list(part.T.shape)} has no rank {self.r}")
            for block, value in zip((block_a, block_b), start(part.T, self.r, self.scaling), strict=True):
                block.copy_(value)
        self.start_a, self.start_b = self.lora_A.detach().clone(), self.lora_B.detach().clone()
        self._whole = (self.get_parameter("weight"),)
        rest = (weight - self.delta_weight()).to(self.weight.dtype)
        self.weight = nn.Parameter(rest, requires_grad=False)

    def on_whole_weight(self) -> tuple[Tensor, Tensor]:
        """lora_A and lora_B as an adapter of the weight before an init took the start out: of twice the rank then."""
        if self.start_a is None or self.start_b is None:
            return self.lora_A, self.lora_B
        a = zip(self.geometry.a_blocks(self.lora_A), self.geometry.a_blocks(self.start_a), strict=True)
        return torch.cat([*itertools.chain(*a)]), torch.cat([self.lora_B, -self.start_b], dim=1)

    def put_start_back(self) -> None:
        """Become the layer of twice the rank on the weight before; nothing happens where no start was taken out."""
        if self._whole is None:
            return
        factors = zip(("lora_A", "lora_B"), self.on_whole_weight(), strict=True)
        for name, factor in factors:
            trains = self.get_parameter(name).requires_grad
            setattr(self, name, nn.Parameter(factor.detach(), requires_grad=trains))
        (whole,) = self._whole
        if (whole.device, whole.dtype) != (self.weight.device, self.weight.dtype):
            whole = nn.Parameter(whole.detach().to(self.weight), requires_grad=False)
        self.weight = whole
        self.r *= 2
        self.lora_alpha = self.scaling * self.r
        self.start_a = self.start_b = self._whole = None

    @property
    @override
    def base(self) -> nn.Module:
        """Itself, where its weight is another than the base's."""
        return super().base if self._whole is None else self

    @override
    def to_base(self) -> nn.Module:
        """With the whole weight."""
        self.put_start_back()
        return super().to_base()


def layers_with_start(model: nn.Module) -> dict[str, LayerWithStart]:
    """Every layer of the model whose weight is without the start of its adapter, by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LayerWithStart) and m.start_a is not None}
