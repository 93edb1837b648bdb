"""Copies of a config with tiny sizes and short windows: the same architecture, in a net that runs in a moment."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from transformers import PretrainedConfig

WINDOW = 4  # tokens: what a window of 4,096 does would never show on a short row
VOCAB_SIZE = 61
_POSITIONS = 128
_MAX_LAYERS = 8
_EXPERTS = 4
_HEADS = 4
_HEAD_WIDTH = 16

# Parts of the names that configs give to their sizes. What decides by a layer's number comes first: its names often
# speak of windows and experts, too.
_TURNS = ("every", "period", "interval", "pattern", "freq", "offset", "sparse_step", "max_window", "first_k_")
_WINDOWS = ("window", "chunk", "local_attention", "local_size", "floor_scale")
_LENGTHS = ("position_embeddings", "n_positions", "n_ctx", "seq_len", "sequence_length", "context_length")
_WIDTHS = ("hidden_size", "hidden_dim", "intermediate", "inner", "ffn", "n_embd", "d_model", "d_ff", "d_ssm")
_MORE_WIDTHS = ("lru_width", "embed_dim", "embedding_size", "mlp_dim", "mlp_hidden", "projection_dim")
_NO_WIDTHS = ("head", "vocab", "rank", "layer", "type")


def small_configs(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """The same architecture with every kind of layer that it has, few of each, and windows of `WINDOW` tokens.

    The smallest comes first; not every architecture can be made so small, since its sizes may hang on each other. The
    last is as wide as the original.
    """
    for num_heads, head_width in ((_HEADS, _HEAD_WIDTH), (_HEADS, None), (None, None)):
        small = copy.deepcopy(config)
        for part in _parts(small):
            _Shrinking.of(part, num_heads, head_width).apply(part)
        yield small


def _parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """The config and all that are nested in it."""
    yield config
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            yield from _parts(value)


@dataclass(frozen=True)
class _Shrinking:
    """How the sizes of one config shrink. `layers`: those that stay; `heads`, `head_width`, `width`: by what share."""

    num_layers: int
    layers: list[int]
    heads: Fraction
    head_width: Fraction
    width: Fraction

    @staticmethod
    def of(config: PretrainedConfig, num_heads: int | None, head_width: int | None) -> _Shrinking:
        """With so many heads, each so wide; None for as many, or as wide, as they are."""
        num_layers: int = getattr(config, "num_hidden_layers", None) or 0
        width = getattr(config, "hidden_size", None) or 1
        heads = getattr(config, "num_attention_heads", None) or getattr(config, "num_heads", None) or 0
        if not isinstance(heads, int) or not heads:  # a net without heads
            share = Fraction(1) if num_heads is None else Fraction(min(width, num_heads * _HEAD_WIDTH), width)
            return _Shrinking(num_layers, _layers_kept(config, num_layers), Fraction(1), Fraction(1), share)
        own_width = getattr(config, "head_dim", None) or max(width // heads, 1)
        fewer = Fraction(min(num_heads or heads, heads), heads)
        thinner = Fraction(min(head_width or own_width, own_width), own_width)
        return _Shrinking(num_layers, _layers_kept(config, num_layers), fewer, thinner, fewer * thinner)

    def apply(self, config: PretrainedConfig) -> None:
        """Change every size in `config` itself, not in those nested in it."""
        for key, value in list(vars(config).items()):
            if key.startswith("_") or isinstance(value, bool):
                continue
            if isinstance(value, list | tuple):
                setattr(config, key, [self._size(key, each) for each in self._of_layers(key, value)])
            elif isinstance(value, int):
                setattr(config, key, self._size(key, value))

    def _of_layers(self, key: str, values: Sequence[Any]) -> list[Any]:
        """Of a list with something for every layer, or with the numbers of some, what concerns those that stay."""
        if _are_numbers_of_layers(key, values):
            return [i for i, layer in enumerate(self.layers) if layer in values]
        if self.layers and len(values) == self.num_layers:
            return [values[layer] for layer in self.layers]
        return list(values)

    def _size(self, key: str, value: Any) -> Any:
        """The small value of what the config calls `key`."""
        if type(value) is not int or value <= 0:
            return value
        if self.num_layers and "layer" in key and value == self.num_layers:
            return len(self.layers)
        if self.num_layers and _has(key, _TURNS):
            return min(value, len(self.layers) if value >= self.num_layers else max(len(self.layers) - 1, 1))
        if "vocab" in key and "size" in key:
            return min(value, VOCAB_SIZE)
        if key.endswith(("token_id", "token_ids", "token_index")):
            return value if value < VOCAB_SIZE else 0
        if _has(key, _WINDOWS):
            return min(value, WINDOW)
        if _has(key, _LENGTHS):
            return min(value, _POSITIONS)
        return self._width(key, value)

    def _width(self, key: str, value: int) -> int:
        if "group" in key:
            return 1
        if _has(key, ("topk", "top_k", "per_tok")):
            return min(value, 2)
        if key == "dim" or (_has(key, (*_WIDTHS, *_MORE_WIDTHS)) and not _has(key, _NO_WIDTHS)):
            return value if self.width == 1 else math.ceil(value * self.width / 8) * 8
        if "expert" in key:
            return min(value, _EXPERTS)
        if "rotary_dim" in key:
            return max(2, round(value * self.head_width))
        if "head" not in key:
            return value
        is_count = key.startswith(("n_", "num_")) or "_n_" in key or "_num_" in key
        return max(1, round(value * (self.heads if is_count else self.head_width)))


def _layers_kept(config: PretrainedConfig, num_layers: int) -> list[int]:
    """Layers among which are two of every kind that lists or numbers in the config tell, where there are two."""
    sizes = vars(config).items()
    lists = [
        each
        for key, each in sizes
        if isinstance(each, list | tuple)
        and len(each) == num_layers
        and not _are_numbers_of_layers(key, each)
    ]
    kinds = [repr([each[i] for each in lists]) for i in range(num_layers)]
    first = [i for i, kind in enumerate(kinds) if kinds[:i].count(kind) < 2][:_MAX_LAYERS]
    turns = [
        value + 1 for key, value in sizes if type(value) is int and _has(key, _TURNS) and value < num_layers
    ]
    num_wanted = min(max(2, *turns, 2), _MAX_LAYERS, num_layers)
    others = [i for i in range(num_layers) if i not in first]
    return sorted([*first, *others][: max(num_wanted, len(first))])


def _are_numbers_of_layers(key: str, values: Sequence[Any]) -> bool:
    """Whether a list such as `mlp_only_layers` names layers by their numbers."""
    ints = [value for value in values if type(value) is int]
    return "layer" in key and len(ints) == len(values) and all(a < b for a, b in itertools.pairwise(ints))


def _has(key: str, parts: tuple[str, ...]) -> bool:
    return any(part in key for part in parts)
