"""Weights of linear layers in 4 bits (QLoRA, Dettmers et al. 2023): NF4 with double quantisation, by bitsandbytes.

A quantised weight is a tensor that computes with its dequantised values: nothing that reads it need know.
Two functions of bitsandbytes are used and none of its layers, so that training and evaluation take one path: on some
CPUs its Linear4bit packs its weight anew for evaluation, and computes otherwise from then on.
"""

from __future__ import annotations

import copy
import importlib
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from typing_extensions import override

from lorafit import lora
from lorafit.errors import LorafitError, RecipeError, RunCommand
from lorafit.models.model import Model

Quantization = Literal["nf4"]
BLOCK = 64  # values that share a scale, as in QLoRA

_aten = torch.ops.aten
_KEEP = (_aten.detach.default, _aten.clone.default, _aten.alias.default, _aten._to_copy.default)


class QuantizedTensor(torch.Tensor):
    """A matrix [out, in], or its transpose, in NF4. It cannot be written to.

    `packed`: two values a byte; `state`: bitsandbytes' scales, themselves in 8 bits. Every operation computes with the
    dequantised values, in the dtype of the tensor; only these are kept for a backward pass which are in 4 bits.
    """

    packed: Tensor
    state: Any
    transposed: bool

    @staticmethod
    def __new__(
        cls, packed: Tensor, state: Any, dtype: torch.dtype, *, transposed: bool = False
    ) -> QuantizedTensor:
        shape = torch.Size(reversed(state.shape)) if transposed else state.shape
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=packed.device)

    def __init__(self, packed: Tensor, state: Any, dtype: torch.dtype, *, transposed: bool = False) -> None:
        del dtype
        self.packed, self.state, self.transposed = packed, state, transposed

    @staticmethod
    def of(weight: Tensor, *, transposed: bool = False) -> QuantizedTensor:
        """A weight [out, in], or with `transposed` [in, out], quantised by its rows of inputs."""
        rows = (weight.T if transposed else weight).detach().contiguous()
        packed, state = _functions().quantize_4bit(
            rows, blocksize=BLOCK, compress_statistics=True, quant_type="nf4"
        )
        return QuantizedTensor(packed, state, weight.dtype, transposed=transposed)

    def dequantized(self) -> Tensor:
        """Its values, in its dtype."""
        state = copy.copy(self.state)
        state.dtype = self.dtype
        rows: Tensor = _functions().dequantize_4bit(self.packed, state)
        return rows.T if self.transposed else rows

    @override
    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        del tensor_contents
        return f"QuantizedTensor({list(self.shape)}, {self.dtype})"

    @classmethod
    @override
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[Any, Any] | None = None,
    ) -> Any:
        del types
        options = dict(kwargs or {})
        if func is _aten.t.default:
            tensor = args[0]
            return QuantizedTensor(
                tensor.packed, tensor.state, tensor.dtype, transposed=not tensor.transposed
            )
        if func in _KEEP:
            return _moved(args[0], options.get("device"), options.get("dtype"))
        if func._schema.is_mutable and isinstance(args[0], QuantizedTensor):
            raise RuntimeError(f"{func}: a quantised weight cannot be written to")
        plain = partial(tree_map_only, QuantizedTensor, cls.dequantized)
        return func(*plain(args), **plain(options))

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return ["packed"], (self.state, self.dtype, self.transposed)

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], context: Any, *_: object) -> QuantizedTensor:
        state, dtype, transposed = context
        return QuantizedTensor(inner["packed"], state, dtype, transposed=transposed)


def _moved(
    tensor: QuantizedTensor, device: torch.device | None, dtype: torch.dtype | None
) -> QuantizedTensor:
    """On another device, with values of another dtype; still in 4 bits."""
    packed, state = tensor.packed, tensor.state
    if device is not None and device != packed.device:
        packed = packed.to(device)
        state = _functions().QuantState.from_dict(state.as_dict(packed=True), device)
    return QuantizedTensor(packed, state, dtype or tensor.dtype, transposed=tensor.transposed)


def quantized_names(model: Model) -> list[str]:
    """The weights that are quantised: of every linear layer of the backbone, but not of the head nor the output."""
    return [f"{name}.weight" for name in model.family.linear(model.net)]


@torch.no_grad()
def quantize(model: Model) -> None:
    """Quantise these weights of a bare base in place.

    Raises LorafitError where bitsandbytes is not installed.
    """
    for name in quantized_names(model):
        module = model.net.get_submodule(name.rpartition(".")[0])
        weight = QuantizedTensor.of(module.get_parameter("weight"), transposed=lora.lies_transposed(module))
        module.weight = nn.Parameter(weight, requires_grad=False)


def check_quantizable(shape: Model, names: Sequence[str]) -> None:
    """`names` are to be quantised: raises RecipeError where one of these weights trains in `shape`."""
    if trained := sorted(set(names) & shape.trained().keys()):
        raise RecipeError(
            f"[model] quantize: {trained[0]} would train, and cannot in 4 bits; only LoRA trains beside such weights"
        )


@torch.no_grad()
def rounded(weight: Tensor, *, transposed: bool) -> Tensor:
    """What a weight is once it was quantised, in its own dtype."""
    return QuantizedTensor.of(weight.float(), transposed=transposed).dequantized().to(weight.dtype)


def _functions() -> Any:
    """bitsandbytes.functional. Raises LorafitError where it is not installed."""
    if "bitsandbytes.functional" not in sys.modules:
        with _without_kernels():
            try:
                importlib.import_module("bitsandbytes.functional")
            except ImportError:
                raise LorafitError(
                    "[model] quantize: the package bitsandbytes is not installed",
                    RunCommand("pip install 'lorafit[quantize]'"),
                ) from None
    return sys.modules["bitsandbytes.functional"]


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Importing bitsandbytes asks the hub for kernels on some CPUs, by the package `kernels`: here it finds none."""
    logger, hidden = logging.getLogger("bitsandbytes"), sys.modules.get("kernels")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says so in a warning
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        logger.setLevel(level)
        del sys.modules["kernels"]
        if hidden is not None:
            sys.modules["kernels"] = hidden
