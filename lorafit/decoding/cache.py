"""A layer of the KV cache that grows in place and can let go of what nobody attends to any more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 128  # slots added at a time: a dozen steps of ten beams


class SlotLayer(DynamicLayer):
    """Keys and values of n rows: [n, slots, heads, head_dim] here, [n, heads, slots, head_dim] to the model.

    What a slot holds, and for whom, is for the attention mask to say: their order has no meaning.
    """

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Empty buffers in the shape, type and place of the first states."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._key_slots, self._value_slots = (x.transpose(1, 2)[:, :0] for x in (key_states, value_states))
        self._show(0)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Fill the next slots; gives all that are filled, as the attention wants them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self._key_slots = _write(self._key_slots, self._num_filled, key_states.transpose(1, 2))
        self._value_slots = _write(self._value_slots, self._num_filled, value_states.transpose(1, 2))
        return self._show(self._num_filled + key_states.shape[-2])

    def select(self, rows: Tensor, slots: Tensor) -> None:
        """Keep the `slots` [m, k] of the `rows` [m], in that order."""
        self._key_slots = _roomy(self._key_slots[rows.unsqueeze(1), slots])
        self._value_slots = _roomy(self._value_slots[rows.unsqueeze(1), slots])
        self._show(slots.shape[1])

    @property
    def num_free(self) -> int:
        """Slots that can be filled without a copy of the others."""
        return self._key_slots.shape[1] - self._num_filled

    def _show(self, num_filled: int) -> tuple[Tensor, Tensor]:
        self._num_filled = num_filled
        keys = self._key_slots[:, :num_filled].transpose(1, 2)
        values = self._value_slots[:, :num_filled].transpose(1, 2)
        self.keys, self.values = keys, values
        return keys, values


def _write(slots: Tensor, start: int, states: Tensor) -> Tensor:
    """Put states [n, k, heads, head_dim] into the slots from `start` on, with more room where it is short."""
    end = start + states.shape[1]
    if end > slots.shape[1]:
        slots = _roomy(slots[:, :start], end - start)
    slots[:, start:end] = states
    return slots


def _roomy(slots: Tensor, num_wanted: int = 0) -> Tensor:
    num_rows, num_slots, *shape = slots.shape
    roomy = torch.empty(
        num_rows, num_slots + num_wanted + ROOM, *shape, dtype=slots.dtype, device=slots.device
    )
    roomy[:, :num_slots] = slots
    return roomy
