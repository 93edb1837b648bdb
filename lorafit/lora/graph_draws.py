"""Masks of dropout inside compiled graphs: by the same generators and in the same order as outside of them.

A graph holds tensors alone, and may be padded behind what is real. So a source of masks is stood for by a tensor, its
handle, and the operation that draws asks the padding in progress which elements are real. It says that it changes the
handle: draws depend on each other then, and no compiler drops one, merges two or changes their order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from lorafit.lora.dropout import DropoutSource


class Padding(Protocol):
    """Which elements of a graph's tensors are real."""

    def keep_mask(
        self, source: DropoutSource, shape: Sequence[int], p: float, device: torch.device
    ) -> Tensor:
        """A mask of that shape, for whose real elements `source` draws what it draws without padding."""
        ...


_SOURCES = WeakValueDictionary[int, DropoutSource]()
_NUMBERS = itertools.count()
_PADDING: ContextVar[Padding] = ContextVar("padding")


def handle_of(source: DropoutSource) -> Tensor:
    """A new tensor that stands for `source` in graphs, as long as that lives."""
    number = next(_NUMBERS)
    _SOURCES[number] = source
    return torch.tensor(number)


@contextmanager
def padded(padding: Padding) -> Iterator[None]:
    """Inside the block, graphs have this padding."""
    token = _PADDING.set(padding)
    try:
        yield
    finally:
        _PADDING.reset(token)


@torch.library.custom_op("lorafit::keep_mask", mutates_args={"handle"})
def keep_mask_in_graph(handle: Tensor, shape: Sequence[int], p: float, device: torch.device) -> Tensor:
    """`keep_mask` of the source that `handle` stands for."""
    return _PADDING.get().keep_mask(_SOURCES[int(handle)], shape, p, device)


@keep_mask_in_graph.register_fake
def _shape_of_mask(_handle: Tensor, shape: Sequence[int], _p: float, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=torch.bool, device=device)
