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


def lacks_rows(x: Tensor, weight: Tensor) -> bool:
    """Whether products with this weight are made for other numbers of rows than x [..., d] has."""
    num_rows = x.shape[:-1].numel()
    return compiles_each_shape(weight) and whole(num_rows) > num_rows


def whole_rows(x: Tensor) -> Tensor:
    """[..., d] -> [whole(n), d], zeros behind the n rows of x."""
    rows = x.reshape(-1, x.shape[-1])
    return torch.cat([rows, rows.new_zeros(whole(len(rows)) - len(rows), x.shape[-1])])


def first_rows(y: Tensor, shape: torch.Size) -> Tensor:
    """What a product gave for whole rows of a tensor of that shape [..., d], without the others: [..., out]."""
    return y[: shape[:-1].numel()].view(*shape[:-1], y.shape[-1])


def round_rows(layer: nn.Module) -> None:
    """Let a linear layer multiply whole rows, where its products are compiled for their shape.

    The rows are laid out side by side: for a part of every text, as the last states of prompts, torch would multiply
    text by text, each with a copy of the weight of its own. A layer that was copied may share its hooks with the other.
    """
    if _fill not in layer._forward_pre_hooks.values():
        layer.register_forward_pre_hook(_fill, with_kwargs=True)
        layer.register_forward_hook(_cut)


def _fill(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    x: Tensor = (*args, *kwargs.values())[0]
    lacks = lacks_rows(x, layer.get_parameter("weight"))
    vars(layer)[_SHAPE] = x.shape if lacks else None
    return (whole_rows(x) if lacks else x.contiguous(),), {}


def _cut(layer: nn.Module, _args: Any, y: Tensor) -> Tensor:
    shape: torch.Size | None = vars(layer)[_SHAPE]
    return y if shape is None else first_rows(y, shape)
