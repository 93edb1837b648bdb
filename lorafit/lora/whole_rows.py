"""Products in 16 bits on a CPU, with few different numbers of rows.

oneDNN compiles a kernel for every shape of a product, which takes 4 to 25 ms on one core: longer than most products do.
Texts differ in length, so nearly every step would bring shapes of its own. Rows of zeros round their numbers up, to
eight different ones in every doubling; that makes the products 3 % longer on average.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_HALF = (torch.bfloat16, torch.float16)
_LEAST = 8
_SHAPE = "_shape_before_whole_rows"


def compiles_each_shape(x: Tensor) -> bool:
    """Whether products with it are by kernels that are compiled for their shape."""
    return x.dtype in _HALF and x.device.type == "cpu"


def whole(num_rows: int) -> int:
    """The next larger of the numbers that are used."""
    grain = max(_LEAST, 1 << max(num_rows.bit_length() - 4, 0))
    return -(-num_rows // grain) * grain


def whole_rows(x: Tensor) -> Tensor:
    """[n, d] -> [whole(n), d], zeros behind the rows of x; x itself where nothing is missing."""
    missing = whole(len(x)) - len(x)
    return torch.cat([x, x.new_zeros(missing, x.shape[1])]) if missing else x


def round_rows(layer: nn.Module) -> None:
    """Let a linear layer multiply whole rows, where its products are compiled for their shape.

    A layer that was copied may share its hooks with the other.
    """
    if _fill not in layer._forward_pre_hooks.values():
        layer.register_forward_pre_hook(_fill, with_kwargs=True)
        layer.register_forward_hook(_cut)


def _fill(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    x: Tensor = (*args, *kwargs.values())[0]
    rows = x.reshape(-1, x.shape[-1])
    needs = compiles_each_shape(layer.get_parameter("weight")) and whole(len(rows)) > len(rows)
    vars(layer)[_SHAPE] = x.shape if needs else None
    return ((whole_rows(rows),), {}) if needs else (args, kwargs)


def _cut(layer: nn.Module, _args: Any, y: Tensor) -> Tensor:
    shape: torch.Size | None = vars(layer)[_SHAPE]
    return y if shape is None else y[: shape[:-1].numel()].view(*shape[:-1], y.shape[-1])
