"""What merging does to one weight of the base."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor

    from lorafit.lora import DoRALinear, LoRALayer


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

    @property
    def keeps_tie(self) -> bool:
        """Whether it is a change of the weight, for all that share it, and not of the module that it stands in."""
        return self.replacement is not None

    @property
    def sum_of_terms(self) -> float:
        """How large the products that add up to a value of ΔW may be together, even where they cancel; 0: not known."""
        return 0.0

    def num_rows(self, of_base: int) -> int:
        """Rows of the merged weight."""
        return of_base

    def further_rows(self, of_base: int) -> Tensor | None:
        """Those behind the rows of the base's weight, where there are any."""
        del of_base
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

    @property
    @override
    def sum_of_terms(self) -> float:
        """|scale| max ‖b‖ max ‖a‖ over the rows b of B and the columns a of A."""
        axes, size = self.layer.rank_axes(), abs(self.layer.scaling)
        for name, factor in self.layer.adapter_parameters().items():
            size *= float(factor.detach().double().norm(dim=axes[name]).max())
        return size

    @override
    def exact(self) -> Self:
        """With the adapter in float64."""
        adapter = {name: parameter.double() for name, parameter in self.layer.adapter_parameters().items()}
        return replace(self, layer=self.layer.filled(adapter))

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        """block + ΔW[start:start + len(block)], in place."""
        return block.add_(self.layer.delta_rows(start, start + block.shape[0]))


@dataclass(frozen=True)
class Rescaled(Change):
    """g (W + ΔW) of one DoRA layer; `norms` are those of W + ΔW, once they are known."""

    needs_scan: ClassVar[bool] = True

    layer: DoRALinear
    norms: Tensor | None = None

    @override
    def scan(self, blocks: Iterable[Tensor]) -> Self:
        """With the norms."""
        return replace(self, norms=self.layer.norms(blocks))

    @override
    def exact(self) -> Self:
        """With the adapter and the norms in float64."""
        adapter = {name: parameter.double() for name, parameter in self.layer.adapter_parameters().items()}
        norms = None if self.norms is None else self.norms.double()
        return replace(self, layer=self.layer.filled(adapter), norms=norms)

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        """The rows of g (W + ΔW), in place."""
        if self.norms is None:
            raise AssertionError("the norms are not known before the scan")
        return self.layer.rescaled_rows(block, start, self.norms)


@dataclass(frozen=True)
class WithRows(Change):
    """A table in which the rows from `first` on were trained by themselves; some may lie behind the base's last one."""

    inner: Change | None  # of the other rows
    tensor: Tensor
    first: int

    @property
    @override
    def keeps_tie(self) -> bool:
        return self.inner is None or self.inner.keeps_tie

    @property
    @override
    def sum_of_terms(self) -> float:
        return 0.0 if self.inner is None else self.inner.sum_of_terms

    @override
    def num_rows(self, of_base: int) -> int:
        return max(of_base, self.first + len(self.tensor))

    @override
    def further_rows(self, of_base: int) -> Tensor | None:
        return self.tensor[max(of_base - self.first, 0) :] if self.num_rows(of_base) > of_base else None

    @override
    def exact(self) -> Self:
        return self if self.inner is None else replace(self, inner=self.inner.exact())

    @override
    def rows(self, block: Tensor, start: int) -> Tensor:
        """The block with those of the trained rows that lie in it."""
        block = block if self.inner is None else self.inner.rows(block, start)
        begin, end = max(self.first, start), min(self.first + len(self.tensor), start + len(block))
        if begin < end:
            block[begin - start : end - start] = self.tensor[begin - self.first : end - self.first]
        return block


def replaced(tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """Weights that merging replaces whole, by parameter name."""
    return {name: Replaced(tensor) for name, tensor in tensors.items()}
