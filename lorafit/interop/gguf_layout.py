"""How llama.cpp names and orders the weights of a base, and so the factors of an adapter of it.

A pair is `<tensor>.lora_a` [rank, in] and `<tensor>.lora_b` [out, rank], of the token embedding [tokens, rank] and
[width, rank]. llama.cpp adds alpha / rank B A, with one alpha for the whole file and the rank of each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafit.errors import LorafitError, RunCommand
from lorafit.models import Model

try:
    import gguf
except ImportError:
    raise LorafitError(
        "format gguf: the package gguf is not installed", RunCommand("pip install 'lorafit[gguf]'")
    ) from None

FILE = "adapter.gguf"
TOKENS = "token_embd.weight"
OUTPUT = "output.weight"

_ADAPTED = frozenset(
    [
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_qkv",
        "attn_output",
        "ffn_gate",
        "ffn_up",
        "ffn_down",
        "token_embd",
        "output",
    ]
)
"""The matrices that llama.cpp's graphs multiply with their adapters; those of any other would have no effect."""


def _as_they_are(name: str, heads: tuple[int, int], num_rows: int) -> Tensor:
    del name, heads
    return torch.arange(num_rows)


def _rotated(name: str, heads: tuple[int, int], num_rows: int) -> Tensor:
    """Llama's query and key: transformers turns value i of a head with i + half, llama.cpp 2 i with 2 i + 1."""
    rows = torch.arange(num_rows)
    if not name.endswith((".attn_q.weight", ".attn_k.weight")):
        return rows
    num_heads = heads[name.endswith(".attn_k.weight")]
    return rows.view(num_heads, 2, -1).transpose(1, 2).flatten()


def _by_head(name: str, heads: tuple[int, int], num_rows: int) -> Tensor:
    """GPT-NeoX has query, key and value of each head side by side, llama.cpp first all queries, then all keys."""
    rows = torch.arange(num_rows)
    return rows.view(heads[0], 3, -1).transpose(0, 1).flatten() if name.endswith(".attn_qkv.weight") else rows


Order = Callable[[str, tuple[int, int], int], Tensor]

ARCHITECTURES: Mapping[str, tuple[str, Order]] = {
    "gemma": ("gemma", _as_they_are),
    "gemma2": ("gemma2", _as_they_are),
    "gemma3_text": ("gemma3", _as_they_are),
    "gpt2": ("gpt2", _as_they_are),
    "gpt_neox": ("gptneox", _by_head),
    "granite": ("granite", _rotated),
    "llama": ("llama", _rotated),
    "mistral": ("llama", _rotated),
    "olmo2": ("olmo2", _as_they_are),
    "phi3": ("phi3", _as_they_are),
    "qwen2": ("qwen2", _as_they_are),
    "qwen3": ("qwen3", _as_they_are),
    "smollm3": ("smollm3", _rotated),
}
"""transformers' model type -> llama.cpp's architecture, and how its converter orders the rows of a weight."""


@dataclass(frozen=True)
class GgufLayout:
    """llama.cpp's names and orders for one base."""

    architecture: str
    order: Order
    heads: tuple[int, int]  # of queries; of keys and values
    names: gguf.TensorNameMap

    @staticmethod
    def of(shape: Model) -> GgufLayout | None:
        """None for an architecture that is not known here."""
        family = shape.family
        if family.model_type not in ARCHITECTURES:
            return None
        architecture, order = ARCHITECTURES[family.model_type]
        config = family.text_config(shape.net.config)
        num_heads = int(config.num_attention_heads)
        heads = (num_heads, int(getattr(config, "num_key_value_heads", None) or num_heads))
        key = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
        names = gguf.get_tensor_name_map(key, family.num_blocks(shape.net))
        return GgufLayout(architecture, order, heads, names)

    def tensor(self, module: str) -> str | None:
        """llama.cpp's name for the weight of a module; None where an adapter of it would have no effect."""
        name = self.names.get_name(module) or ""
        return f"{name}.weight" if name.rpartition(".")[2] in _ADAPTED else None

    def factors(self, name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """A [rank, in] and B [out, rank] of the tensor `name` as llama.cpp has them."""
        return a.T if name == TOKENS else a, b[self.order(name, self.heads, len(b))]

    def from_factors(self, name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse."""
        return a.T if name == TOKENS else a, b[self.order(name, self.heads, len(b)).argsort()]
