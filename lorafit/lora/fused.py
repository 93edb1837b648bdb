"""A linear layer and its LoRA update in one step: adds in place, and never forms a dense ΔW.

    y = x W^T + b;    y[slice] += scale * dropout(x) A_slice^T B_slice^T    for every adapted output slice

loralib's MergedLinear builds ΔW (out x in) at every call, forward and backward; adding two dense outputs, as
plain modules must, reads and writes the large output once more each way. Neither happens here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafit.lora.dropout import DropoutSource, TorchDraws, dropout, keep_share, masked
from lorafit.lora.whole_rows import first_rows, lacks_rows, whole_rows

_LARGE = 1 << 18  # elements of a gradient


@dataclass(frozen=True)
class Geometry:
    """Which parts of the output are adapted, by how much, and how the base weight lies.

    The output falls into `parts`, which are as many values wide. With k of them adapted: lora_a [k*r, in],
    lora_b [sum of the adapted widths, r]; block j of both belongs to the j-th adapted part.
    `fan_in_fan_out`: the base weight is stored [in, out], as Hugging Face's Conv1D does.
    """

    enabled: tuple[bool, ...]
    parts: tuple[int, ...]
    scale: float
    fan_in_fan_out: bool

    @property
    def adapted(self) -> list[int]:
        """The indices of the adapted parts."""
        return [i for i, on in enumerate(self.enabled) if on]

    def slices(self, y: Tensor) -> list[Tensor]:
        """The adapted parts of y [..., out], as views."""
        every = y.split(self.parts, -1)
        return [every[i] for i in self.adapted]

    def a_blocks(self, factor: Tensor) -> tuple[Tensor, ...]:
        """The blocks [r, ...] of lora_a, or of x A^T transposed, one for each adapted part, as views."""
        return factor.chunk(len(self.adapted))

    def b_blocks(self, factor: Tensor) -> tuple[Tensor, ...]:
        """The blocks [width, r] of lora_b, one for each adapted part, as views."""
        blocks: tuple[Tensor, ...] = factor.split([self.parts[i] for i in self.adapted])
        return blocks


def base_linear(x: Tensor, weight: Tensor, bias: Tensor | None, fan_in_fan_out: bool) -> Tensor:
    """What the base layer computes, bit for bit: nn.Linear, or Conv1D for a weight stored [in, out]."""
    if lacks_rows(x, weight):
        return first_rows(base_linear(whole_rows(x), weight, bias, fan_in_fan_out), x.shape)
    if not fan_in_fan_out:
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.size(-1))
    y = rows @ weight if bias is None else torch.addmm(bias, rows, weight)
    return y.view(*x.shape[:-1], weight.size(1))


def lora_linear(
    x: Tensor,
    base: tuple[Tensor, Tensor | None],
    adapter: tuple[Tensor, Tensor],
    geometry: Geometry,
    p: float = 0.0,
    draws: DropoutSource | None = None,
) -> Tensor:
    """Base layer plus LoRA update.  x [..., in], base (weight, bias), adapter (lora_a, lora_b) -> [..., out].

    Computes in x's dtype (under autocast: in autocast's), whatever the adapter is stored in. `p` is the dropout in
    force now, 0 outside training; its mask is drawn from `draws`, or else from torch's global generator.
    (Hu et al. 2021, eq. 3)
    """
    if not has_plain_data(x, base[0]):
        return plain_lora_linear(x, base, adapter, geometry, p, draws)
    return lora_linear_of_stretches(x, base, [Stretch(slice(None), adapter, geometry, p, draws)])


def has_plain_data(x: Tensor, weight: Tensor) -> bool:
    """Whether the fused step may be taken: not for compilers, tensor subclasses and meta tensors."""
    plain = all(type(t) in (Tensor, torch.nn.Parameter) and not t.is_meta for t in (x, weight))
    return plain and not torch.compiler.is_compiling()


@dataclass(frozen=True)
class Stretch:
    """Some rows of x [N, in], the adapter (lora_a, lora_b) that they have, and its dropout."""

    rows: slice
    adapter: tuple[Tensor, Tensor]
    geometry: Geometry
    p: float = 0.0
    draws: DropoutSource | None = None

    def scale(self) -> float:
        """That of the update of units which are not dropped."""
        share = keep_share(self.p)
        return self.geometry.scale / share if share > 0 else 0.0


def lora_linear_of_stretches(
    x: Tensor, base: tuple[Tensor, Tensor | None], stretches: Sequence[Stretch]
) -> Tensor:
    """`lora_linear` for rows with adapters of their own: one product with the base weight, an update for each stretch.

    Rows of no stretch have the base alone. x must have plain data.
    """
    device, (weight, bias) = x.device.type, base
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    tensors: list[Tensor | None] = []
    lacks = lacks_rows(x, weight)
    for stretch in stretches:
        tensors += [t.to(x.dtype) for t in stretch.adapter]
        draws = stretch.draws or TorchDraws()
        drawn_for = x if stretch.rows == slice(None) else _rows(x)[stretch.rows]
        mask = draws.keep_mask(drawn_for, stretch.p) if stretch.p > 0 else None
        tensors.append(whole_rows(mask) if mask is not None and lacks and drawn_for is x else mask)
    options = [(stretch.rows, stretch.geometry, stretch.scale()) for stretch in stretches]
    y: Tensor = _LoraLinear.apply(whole_rows(x) if lacks else x, weight, bias, options, *tensors)[0]
    return first_rows(y, x.shape) if lacks else y


def plain_lora_linear(
    x: Tensor,
    base: tuple[Tensor, Tensor | None],
    adapter: tuple[Tensor, Tensor],
    geometry: Geometry,
    p: float = 0.0,
    draws: DropoutSource | None = None,
) -> Tensor:
    """The same in plain operations: for compilers, tensor subclasses and meta tensors."""
    y = base_linear(x, *base, geometry.fan_in_fan_out)
    lora_a, lora_b = (t.to(x.dtype) for t in adapter)
    x = dropout(x, p, draws or TorchDraws())
    slices = list(y.split(geometry.parts, -1))
    blocks = zip(geometry.a_blocks(lora_a), geometry.b_blocks(lora_b), strict=True)
    for i, (block_a, block_b) in zip(geometry.adapted, blocks, strict=True):
        slices[i] = slices[i] + geometry.scale * F.linear(F.linear(x, block_a), block_b)
    return slices[0] if len(slices) == 1 else torch.cat(slices, -1)


class _LoraLinear(torch.autograd.Function):
    """Beside y, forward gives x A^T, for backward alone: a second derivative has it computed again.

    The thin products are written with the rank first (r x N, not N x r): CPUs run these 4 to 13 times faster.
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, options: _Options, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        """`tensors`: lora_a, lora_b and the mask of each stretch."""
        fan_in_fan_out = options[0][1].fan_in_fan_out
        y = base_linear(x, weight, bias, fan_in_fan_out)
        if y._is_view():  # as nn.Linear's output, it may be changed in place by whoever gets it
            y = torch.ops.aten._unsafe_view.default(y, y.shape)
        rows, out, hs = _rows(x), y.view(-1, y.size(-1)), []
        for (place, geometry, scale), lora_a, lora_b, mask in _by_stretch(options, tensors):
            h = lora_a @ _dropped_rows(rows[place], mask).T
            blocks = zip(geometry.a_blocks(h), geometry.b_blocks(lora_b), strict=True)
            for y_slice, (block_h, block_b) in zip(geometry.slices(out[place]), blocks, strict=True):
                y_slice.addmm_(block_h.T, block_b.T, alpha=scale)
            hs.append(h)
        return y, *hs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, _, ctx.options, *tensors = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, *tensors, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, *others = ctx.saved_tensors
        options: _Options = ctx.options
        tensors, hs = others[: 3 * len(options)], others[3 * len(options) :]
        fan_in_fan_out = options[0][1].fan_in_fan_out
        needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        if grads[0] is None:
            return (None,) * (4 + len(tensors))
        grad, rows = _rows(grads[0]), _rows(x)
        grad_x = grad @ (weight.T if fan_in_fan_out else weight) if needs_x else None
        of_adapters: list[Tensor | None] = []
        for ((place, geometry, scale), lora_a, lora_b, mask), h in zip(
            _by_stretch(options, tensors), hs, strict=True
        ):
            dropped, slices = _dropped_rows(rows[place], mask), geometry.slices(grad[place])
            if torch.is_grad_enabled():  # for a second derivative, in which x A^T counts too
                h = lora_a @ dropped.T
            grad_b = torch.cat([(b @ g).T for b, g in zip(geometry.a_blocks(h), slices, strict=True)]) * scale
            b_blocks = _rows_of_ranks(geometry.b_blocks(lora_b), grad[place])
            grad_h = torch.cat([b @ g.T for b, g in zip(b_blocks, slices, strict=True)]) * scale
            of_adapters += [grad_h @ dropped, grad_b, None]
            if grad_x is not None and mask is None:
                grad_x[place].addmm_(grad_h.T, lora_a)
            elif grad_x is not None and mask is not None:
                own = grad_x[place]
                own.add_(masked(grad_h.T @ lora_a, mask.view(own.shape)))
        grad_weight = None
        if needs_weight:
            grad_weight = rows.T @ grad if fan_in_fan_out else grad.T @ rows
        grad_bias = grad.sum(0) if needs_bias else None
        return (
            grad_x.view(x.shape) if grad_x is not None else None,
            grad_weight,
            grad_bias,
            None,
            *of_adapters,
        )


_Options = Sequence[tuple[slice, Geometry, float]]


def _by_stretch(
    options: _Options, tensors: Sequence[Tensor | None]
) -> Iterator[tuple[tuple[slice, Geometry, float], Tensor, Tensor, Tensor | None]]:
    """Options, lora_a, lora_b and mask of each."""
    for option, lora_a, lora_b, mask in zip(
        options, tensors[0::3], tensors[1::3], tensors[2::3], strict=True
    ):
        assert lora_a is not None
        assert lora_b is not None
        yield option, lora_a, lora_b, mask


def _rows_of_ranks(blocks: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
    """Every block [width, r] as [r, width]; copied so where it saves time, as large products take four times as long
    on a CPU with the rank last in memory."""
    return [block.T.contiguous() if grad.numel() >= _LARGE else block.T for block in blocks]


def _dropped_rows(x: Tensor, mask: Tensor | None) -> Tensor:
    """The rows of x [N, in] with the masked units zeroed (not rescaled: the scale takes that in)."""
    return _rows(x) if mask is None else masked(_rows(x), mask.view(-1, mask.size(-1)))


def _rows(x: Tensor) -> Tensor:
    """[..., d] -> [N, d]."""
    return x.reshape(-1, x.size(-1))
