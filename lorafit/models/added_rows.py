"""Tokens that a task needs and the base's tokenizer lacks: they get rows of their own in the embedding and the head.

The base's tables stay as they are, frozen and in one piece; beside them lie the few rows that train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lorafit.errors import RecipeError, SetKey

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_KEY = "lorafit_added_tokens"  # of a config in memory
_NOISE = 0.1  # of the spread of the base's rows


@dataclass(frozen=True)
class AddedTokens:
    """Tokens with the ids `first`, `first + 1`, …"""

    first: int
    tokens: tuple[str, ...]

    @property
    def end(self) -> int:
        """The id behind the last."""
        return self.first + len(self.tokens)


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> None:
    """Let the tokenizer know those that it lacks, each as one id behind all of its own."""
    if missing := _missing(tokenizer, tokens):
        tokenizer.add_tokens(missing, special_tokens=True)


def plan_tokens(
    config: PretrainedConfig, num_rows: int | None, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]
) -> None:
    """Note in a config in memory which of the tokens are to be added.

    Their ids may be rows that the embedding has to spare. Raises RecipeError where the tokenizer already knows more
    tokens than the embedding has rows.
    """
    missing = _missing(tokenizer, tokens)
    if not missing:
        return
    if num_rows is None or len(tokenizer) > num_rows:
        raise RecipeError(
            f"[task] template: it needs {' and '.join(missing)}, which the tokenizer of {tokenizer.name_or_path} does "
            f"not have, and its embedding has {num_rows or 0:,} rows for {len(tokenizer):,} tokens already",
            SetKey("task.template", "plain", "which needs no such token"),
        )
    setattr(config, _KEY, asdict(AddedTokens(len(tokenizer), tuple(missing))))


def planned_tokens(config: PretrainedConfig) -> AddedTokens | None:
    """What `plan_tokens` noted; None where all tokens are the tokenizer's own."""
    noted = getattr(config, _KEY, None)
    return None if noted is None else AddedTokens(noted["first"], tuple(noted["tokens"]))


def _missing(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[str]:
    known = tokenizer.get_vocab()
    return [token for token in dict.fromkeys(tokens) if token not in known]


class AddedRows(nn.Module):
    """What both tables have in common. `rows` [k, d] trains; a tied head has the same ones as the embedding."""

    first: int
    rows: nn.Parameter
    weight: nn.Parameter

    @property
    def num_rows(self) -> int:
        """Rows of the whole table."""
        return max(len(self.weight), self.first + len(self.rows))


class EmbeddingWithRows(AddedRows):
    """Put before the class of an embedding: a lookup of added ids gives their rows, scaled as those of the base are."""

    def forward(self, input_ids: Tensor) -> Tensor:
        """Ids [...] -> rows [..., d]."""
        own = input_ids >= self.first
        base: Tensor = super().forward(input_ids.masked_fill(own, 0))
        rows = F.embedding((input_ids - self.first).clamp(min=0), self.rows)
        scale = getattr(self, "embed_scale", None)
        rows = rows if scale is None else rows * scale
        return torch.where(own[..., None], rows.to(base.dtype), base)


class HeadWithRows(AddedRows):
    """Put before the class of a head: added tokens have a logit each."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., d] -> logits [..., num_rows]."""
        base: Tensor = super().forward(hidden)
        own = F.linear(hidden, self.rows)
        end = self.first + len(self.rows)
        return torch.cat([base[..., : self.first], own.to(base.dtype), base[..., end:]], dim=-1)


def add_rows(net: PreTrainedModel) -> None:
    """Give the tables of a net the rows that its config notes; their values are drawn near the mean of the base's."""
    added = planned_tokens(net.config)
    if added is None:
        return
    embedding, head = net.get_input_embeddings(), net.get_output_embeddings()
    rows = _drawn(embedding.get_parameter("weight"), len(added.tokens))
    _extend(embedding, EmbeddingWithRows, added.first, rows)
    if head is None:
        return
    weight = head.get_parameter("weight")
    tied = weight is embedding.get_parameter("weight")
    _extend(head, HeadWithRows, added.first, rows if tied else _drawn(weight, len(added.tokens)))


def _extend(table: nn.Module, kind: type[AddedRows], first: int, rows: nn.Parameter) -> None:
    table.__class__ = type(f"{type(table).__name__}WithRows", (kind, type(table)), {})
    table.first = first  # type: ignore[assignment]
    table.rows = rows


@torch.no_grad()
def _drawn(weight: Tensor, count: int) -> nn.Parameter:
    if weight.is_meta:
        return nn.Parameter(torch.empty(count, weight.shape[1], device="meta"))
    noise = torch.randn(count, weight.shape[1], generator=torch.Generator().manual_seed(0))
    return nn.Parameter(weight.mean(dim=0) + _NOISE * weight.std() * noise)


def tables_with_rows(net: nn.Module) -> Iterator[tuple[str, AddedRows]]:
    """The tables that have added rows, by module name."""
    for name, module in net.named_modules():
        if isinstance(module, AddedRows):
            yield name, module


def names_of_added_rows(net: nn.Module) -> frozenset[str]:
    """The names of the parameters that hold them, each once: a tied head has the embedding's."""
    rows = {f"{table}.rows" for table, _ in tables_with_rows(net)}
    return frozenset(name for name, _ in net.named_parameters() if name in rows)
