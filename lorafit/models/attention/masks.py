"""Which keys a query sees where texts share a row: the patterns of transformers, asked at each text's own places.

transformers describes every pattern of attention (causal, both ways, a window, chunks) by a function of the places of
query and key. So whatever an architecture has, from layer to layer, is obeyed without being known by name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from transformers.masking_utils import sdpa_mask

Sees = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(row, head, place of the query, place of the key), shapes that broadcast -> true where the query sees the key."""

_UNLIMITED = ("causal_mask_function", "bidirectional_mask_function", "packed_sequence_mask_function")
_LOCAL = ("sliding_window_overlay", "sliding_window_bidirectional_overlay", "chunked_overlay")


@dataclass(frozen=True)
class Pattern:
    """What some layers of a net see within a text. `window`: how many tokens that is, None for no limit."""

    sees: Sees
    window: int | None

    def is_plain(self, longest: int) -> bool:
        """Whether in texts of up to `longest` tokens a query sees every key of its text, or every one up to itself.

        What is not recognised is not plain.
        """
        return _is_plain(self.sees, self.window is not None and longest < self.window)

    def at(self, rows: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        """`queries` [n, q] and `keys` [n, k] are places in `rows` [n] -> [n, 1, q, k], true where one sees it."""
        heads = rows.new_zeros(1, 1, 1, 1)
        seen = self.sees(rows[:, None, None, None], heads, queries[:, None, :, None], keys[:, None, None, :])
        return seen.expand(len(queries), 1, queries.shape[1], keys.shape[1])


def _is_plain(sees: Sees, is_short: bool) -> bool:
    """By the names that transformers.masking_utils gives to its patterns and to what they are put together from."""
    kind = getattr(sees, "__qualname__", "").partition(".")[0]
    names: tuple[str, ...] = sees.__code__.co_freevars if hasattr(sees, "__code__") else ()
    held = dict(zip(names, getattr(sees, "__closure__", None) or (), strict=True))
    if kind == "and_masks" and "mask_functions" in held:
        return all(_is_plain(part, is_short) for part in held["mask_functions"].cell_contents)
    if kind == "remap_positions_for_packed_sequence" and "mask_function" in held:
        return _is_plain(held["mask_function"].cell_contents, is_short)
    return kind in _UNLIMITED or (kind in _LOCAL and is_short)


class Layout(Protocol):
    """Where the texts lie in what a net is given."""

    def mask_of(self, pattern: Pattern) -> Tensor | None:
        """The mask for layers of that pattern; None where their attention needs none."""
        ...


_LAYOUTS: ContextVar[tuple[Layout | None, ...]] = ContextVar("layouts", default=())


def packed_mask(
    *,
    mask_function: Sees,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    **kwargs: Any,
) -> Tensor | None:
    """For transformers' AttentionMaskInterface: by the layout of the pass in progress, else that of its SDPA."""
    layout = next(iter(_LAYOUTS.get()), None)
    if layout is not None:
        return layout.mask_of(Pattern(mask_function, local_size))
    return sdpa_mask(
        mask_function=mask_function, attention_mask=attention_mask, local_size=local_size, **kwargs
    )


def follow_layouts(backbone: nn.Module) -> None:
    """Let the masks of a pass be those of the `packed_row` or `layout` that `backbone` is called with."""
    if _enter not in backbone._forward_pre_hooks.values():
        backbone.register_forward_pre_hook(_enter, with_kwargs=True)
        backbone.register_forward_hook(_leave, always_call=True)


def _enter(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    layout = kwargs.get("layout", kwargs.get("packed_row"))
    _LAYOUTS.set((layout, *_LAYOUTS.get()))  # a pass within a pass has its own


def _leave(_module: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
    _LAYOUTS.set(_LAYOUTS.get()[1:])
