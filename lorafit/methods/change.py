"""What merging does to one weight of the base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.lora import LoRALayer


class Change(ABC):
    """From a weight of the base to the merged weight, some rows at a time: no whole tensor need be in memory.

    Rows run along the first dimension of the weight as it is stored; a scalar is one row.
    """

    needs_scan: ClassVar[bool] = False
    """Whether `rows` is only right after `scan`."""

    @property
    def replacement(self) -> Tensor | None:
        """The whole merged weight, where it does not depend on the base's; else None."""
        return None

    def scan(self, blocks: Iterable[Tensor]) -> Self:
        """The same change, once it knows what it must know of the whole weight, such as a norm.

        `blocks`: all rows of the base's weight in order, in float32. They are read only where `needs_scan` says so.
        """
        del blocks
        return self

    def exact(self) -> Self:
        """The same change, whose rows are computed in float64 where the block is."""
        return self

    @abstractmethod
    def rows(self, block: Tensor, start: int) -> Tensor:
        """Rows of the base's weight from `start` on, in float32 or float64 -> the same rows of the merged weight.

        `block` may be overwritten; the result keeps its dtype.
        """


@dataclass(frozen=True)
class Replaced(Change):
    """The weight itself was trained, and takes the place of the base's."""

    tensor: Tensor

    @property
    @override
    def replacement(self) -> Tensor:
        return self.tensor

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        """The trained weight's rows."""
        every = self.tensor.reshape(-1, *block.shape[1:])
        return every[start : start + len(block)].to(block.dtype)


@dataclass(frozen=True)
class Added(Change):
    """W + ΔW of one LoRA layer, of which only the adapter need exist."""

    layer: LoRALayer

    @override
    def exact(self) -> Self:
        """With the adapter in float64."""
        adapter = {name: parameter.double() for name, parameter in self.layer.adapter_parameters().items()}
        return replace(self, layer=self.layer.filled(adapter))

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        """block + ΔW[start:start + len(block)], in place."""
        return block.add_(self.layer.delta_rows(start, start + block.shape[0]))


def replaced(tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """Weights that merging replaces whole, by parameter name."""
    return {name: Replaced(tensor) for name, tensor in tensors.items()}
