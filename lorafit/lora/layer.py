"""What every LoRA layer has: an adapter beside a frozen base weight, and a merged weight while one is wanted.

The base weight is never written to. Merging computes W + ΔW into a buffer of its own, which the forward pass
then uses; unmerging drops it. So unmerging is exact in every dtype, a state dict always holds the unmerged
weight, and of two modules that share a weight (tied embeddings) one can be merged without the other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from lorafit.lora.dropout import Dropout
from lorafit.lora.inits import INITS, Filler, fill_adapter
from lorafit.lora.scalings import SCALINGS

HALF = (torch.float16, torch.bfloat16)


class LoRALayer(nn.Module):
    """A base layer with parameters lora_A and lora_B beside its own; with r = 0, the base layer alone.

    Shapes are loralib's and each subclass tells them. `merge_weights`: eval() merges and train() unmerges.
    """

    base_type: ClassVar[type[nn.Module]]
    inits: ClassVar[dict[str, tuple[Filler, Filler]]] = INITS

    weight: Tensor
    lora_A: nn.Parameter
    lora_B: nn.Parameter
    merged_weight: Tensor | None
    r: int = 0
    lora_alpha: float = 1.0
    scaling: float = 0.0
    merge_weights: bool = False
    _merged_from: list[tuple[int, int]] | None = None
    _base: tuple[nn.Module] | None = None  # in a tuple, so that it is not registered as a sub-module

    @classmethod
    def adapts(cls, module: nn.Module) -> bool:
        """Whether this layer can stand in for `module`: not for a subclass that computes something else.

        Nor for the output projection of nn.MultiheadAttention: its weight is read, but it is never called.
        """
        same = type(module).forward is cls.base_type.forward
        return same and not isinstance(module, NonDynamicallyQuantizableLinear)

    @classmethod
    def from_base(
        cls,
        module: nn.Module,
        *,
        r: int,
        lora_alpha: float = 1.0,
        lora_dropout: float = 0.0,
        merge_weights: bool = True,
        init: str = "loralib",
        generator: torch.Generator | None = None,
        scaling: str = "lora",
        **options: Any,
    ) -> Self:
        """A LoRA layer around the very parameters of `module`, which it freezes and else leaves as they are.

        The adapter is kept in float32 beside a half-precision base. `scaling`: by the name of SCALINGS, how much the
        update counts. `options`: those of the layer's own kind,
        `enable_lora` or `layout`.  TypeError for a module that this layer cannot stand in for.
        """
        if not cls.adapts(module):
            raise TypeError(f"lora.{cls.__name__} cannot stand in for {type(module).__name__}")
        layer = cls._around(module, **options)
        layer._base = (module,)
        dtype = torch.float32 if layer.weight.dtype in HALF else layer.weight.dtype
        layer._add_adapter(r, lora_alpha, lora_dropout, merge_weights, dtype, scaling)
        layer.reset_lora_parameters(init, generator)
        return layer.train(module.training)

    @classmethod
    def _around(cls, module: nn.Module) -> Self:
        """A layer of this kind, still without adapter, that shares `module`'s parameters."""
        raise NotImplementedError

    def to_base(self) -> nn.Module:
        """The layer without adapter, around the same parameters: from_base's module, where there was one."""
        if self._base is None:
            return self._plain().train(self.training)
        (base,) = self._base
        base._parameters.update({name: self._parameters[name] for name in base._parameters})
        return base.train(self.training)

    @property
    def base(self) -> nn.Module:
        """The module whose place it took; itself, where there was none."""
        return self if self._base is None else self._base[0]

    def _plain(self) -> nn.Module:
        """A new module of type `base_type` with the parameters of this one."""
        raise NotImplementedError

    def _adapter_shapes(self, r: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The shapes of lora_A and lora_B."""
        raise NotImplementedError

    @property
    def full_rank(self) -> int:
        """The greatest r that any update needs: one of a greater r is also one of this."""
        (_, num_inputs), (num_outputs, rank) = self._adapter_shapes(1)
        return min(num_inputs, num_outputs) // rank

    def delta_weight(self) -> Tensor:
        """ΔW = scaling * B A in the layout of `weight`, at least in float32. For merging only."""
        raise NotImplementedError

    def delta_rows(self, start: int, stop: int) -> Tensor:
        """ΔW[start:stop], along the first dimension of `weight`, without the rest where that can be done."""
        return self.delta_weight()[start:stop]

    def _add_adapter(
        self,
        r: int,
        lora_alpha: float,
        lora_dropout: float,
        merge_weights: bool,
        dtype: torch.dtype | None = None,
        scaling: str = "lora",
    ) -> None:
        """Freeze the base and register uninitialised lora_A and lora_B; nothing of this when r = 0."""
        if r < 0 or not 0 <= lora_dropout <= 1:
            raise ValueError(f"r must be at least 0 and lora_dropout within 0..1, not {r} and {lora_dropout}")
        self.r, self.lora_alpha, self.merge_weights = r, lora_alpha, merge_weights
        self.lora_dropout = Dropout(lora_dropout)
        self.register_buffer("merged_weight", None, persistent=False)
        shapes = self._adapter_shapes(r)
        if 0 in shapes[0] + shapes[1]:  # r = 0, or no slice of the output is adapted
            return
        self.scaling = SCALINGS[scaling](lora_alpha, r)
        self.requires_grad_(False)
        for name, shape in zip(("lora_A", "lora_B"), shapes, strict=True):
            self.register_parameter(name, nn.Parameter(self.weight.new_empty(shape, dtype=dtype)))
        self.register_load_state_dict_post_hook(_merge_again)

    @property
    def has_adapter(self) -> bool:
        """Whether there are lora_A and lora_B: not so when r = 0 or no slice is enabled."""
        return "lora_A" in self._parameters

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """What trains in this layer, named as the layer names it; nothing where there is no adapter."""
        return {"lora_A": self.lora_A, "lora_B": self.lora_B} if self.has_adapter else {}

    def rank_axes(self) -> dict[str, int]:
        """The axis of each of `adapter_parameters` along which the rank runs, where it has one."""
        return {"lora_A": 0, "lora_B": 1} if self.has_adapter else {}

    def filled(self, tensors: Mapping[str, Tensor]) -> Self:
        """A copy of this layer with other tensors as its adapter; everything else is shared.

        `tensors` holds one for each name of `adapter_parameters`, and may hold more.
        """
        twin = copy.copy(self)
        adapter = {
            name: nn.Parameter(tensors[name], requires_grad=False) for name in self.adapter_parameters()
        }
        twin._parameters = {**self._parameters, **adapter}
        return twin

    def reset_lora_parameters(self, init: str = "loralib", generator: torch.Generator | None = None) -> None:
        """Draw a fresh adapter by the name of an init (see INITS); a generator makes it reproducible."""
        if self.has_adapter:
            fill_adapter(self.lora_A, self.lora_B, init=init, generator=generator, inits=self.inits)

    @property
    def merged(self) -> Merged:
        """True while forward uses W + ΔW; `with layer.merged():` merges for the length of a block."""
        return Merged.of(self)

    @torch.inference_mode(False)  # a merged weight made while generating may be trained through later
    @torch.no_grad()
    def merge(self) -> None:
        """Let forward use W + ΔW, rounded once to the dtype of W. Gradients then reach the input only."""
        if self.has_adapter:
            self.merged_weight = self._sum()
            self._merged_from = self._state()

    def unmerge(self) -> None:
        """Back to W and the adapter apart: exactly as before merge()."""
        self.merged_weight = None

    @torch.no_grad()
    def write_merged_weight(self) -> None:
        """Write W + ΔW into the base weight itself, for good; nothing else here does. See surgery.detach."""
        if self.has_adapter:
            self.weight.copy_(self._sum())

    def _unmerged(self) -> Tensor:
        return self.weight

    def _sum(self) -> Tensor:
        """W + ΔW, rounded once to the dtype of W."""
        delta = self.delta_weight()
        return (self._unmerged().to(delta.dtype) + delta).to(self.weight.dtype)

    def _state(self) -> list[tuple[int, int]]:
        """Changes whenever one of the tensors that W + ΔW was made of is replaced or written to."""
        sources = (self.weight, *self.adapter_parameters().values())
        return [(id(t), 0 if t.is_inference() else t._version) for t in sources]

    def _current_merged_weight(self) -> Tensor | None:
        """W + ΔW if merged, made anew if W, A or B have changed since; None if not merged."""
        if self.merged_weight is None or torch.compiler.is_compiling() or self._merged_from == self._state():
            return self.merged_weight
        self.merge()
        return self.merged_weight

    def train(self, mode: bool = True) -> Self:
        """Set training mode; with `merge_weights`, unmerge for training and merge for evaluation."""
        super().train(mode)
        if self.merge_weights and mode:
            self.unmerge()
        if self.merge_weights and not mode and not self.merged:
            self.merge()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast; a merged weight is then made anew, so that it is rounded once and not twice."""
        super()._apply(fn, recurse)
        if self.merged:
            self.merge()
        return self

    def _lora_repr(self) -> str:
        return f", r={self.r}, lora_alpha={self.lora_alpha:g}, lora_dropout={self.lora_dropout.p:g}"


class Merged(int):
    """loralib's `merged` flag, which can also be entered: `with layer.merged(): ...`."""

    _layer: LoRALayer

    @classmethod
    def of(cls, layer: LoRALayer) -> Merged:
        """The flag of this layer."""
        flag = cls(layer.merged_weight is not None)
        flag._layer = layer
        return flag

    def __repr__(self) -> str:
        return str(bool(self))

    @contextmanager
    def __call__(self) -> Iterator[LoRALayer]:
        """Merge the layer for the length of the block; a layer merged before stays merged after it."""
        self._layer.merge()
        try:
            yield self._layer
        finally:
            if not self:
                self._layer.unmerge()


def _merge_again(layer: LoRALayer, _: object) -> None:
    """After loading a state dict: a merged layer must use what was loaded."""
    if layer.merged:
        layer.merge()


def lora_layers(model: nn.Module) -> Iterator[LoRALayer]:
    """Every layer of the model that has an adapter, each once."""
    return iter(adapted_layers(model).values())


def adapted_layers(model: nn.Module) -> dict[str, LoRALayer]:
    """Every layer of the model that has an adapter, by name; a shared one under its first name alone."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LoRALayer) and m.has_adapter}


def adapter_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What trains in the LoRA layers of the model, by its full name."""
    return {
        f"{name}.{key}" if name else key: parameter
        for name, layer in adapted_layers(model).items()
        for key, parameter in layer.adapter_parameters().items()
    }


def filled_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, LoRALayer]:
    """A copy of every adapted layer, by name, whose adapter is what `tensors` hold under its full names."""
    return {
        name: layer.filled({key: tensors[f"{name}.{key}"] for key in layer.adapter_parameters()})
        for name, layer in adapted_layers(model).items()
    }


def merge(model: nn.Module) -> None:
    """Merge every LoRA layer: the same function at the cost of the base model. Base weights stay."""
    for layer in lora_layers(model):
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Unmerge every LoRA layer."""
    for layer in lora_layers(model):
        layer.unmerge()


@contextmanager
def merged(model: nn.Module) -> Iterator[nn.Module]:
    """Merge the model for the length of the block; layers merged before stay merged after it."""
    to_undo = [layer for layer in lora_layers(model) if not layer.merged]
    merge(model)
    try:
        yield model
    finally:
        for layer in to_undo:
            layer.unmerge()


@contextmanager
def scaled(model: nn.Module, factor: float) -> Iterator[nn.Module]:
    """Every adapter of the model `factor` times as strong for the length of the block: 0 gives the base model."""
    layers = [(layer, layer.scaling) for layer in lora_layers(model)]
    try:
        for layer, scaling in layers:
            layer.scaling = scaling * factor
        yield model
    finally:
        for layer, scaling in layers:
            layer.scaling = scaling
