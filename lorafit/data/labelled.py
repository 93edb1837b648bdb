"""Texts with a label: one or two texts -> token ids, and batches of them, packed into one row or padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class LabelledText:
    """One text or two, by the name of their column; `part` is the part of the split, such as MNLI's "matched".

    `label` is the index of a class or a score; None where it is not known, as in GLUE's test splits.
    """

    texts: Mapping[str, str]
    label: float | None
    part: str = ""


@dataclass(frozen=True)
class EncodedText:
    """Token ids with the special tokens in them; `types` (0 first text, 1 second) where the model reads them."""

    ids: tuple[int, ...]
    types: tuple[int, ...] | None
    label: float | None


def encode_labelled(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[LabelledText], max_length: int, num_types: int
) -> list[EncodedText]:
    """As the paper's run_glue.py: a text, or a pair of which the longer one loses its end until `max_length` fits.

    `num_types` is the model's `type_vocab_size`: below 2 it cannot tell a first from a second text by them.
    """
    if not examples:
        return []
    texts = [list(example.texts.values()) for example in examples]
    columns = [[row[i] for row in texts] for i in range(len(texts[0]))]
    encoded = tokenizer(
        *columns, truncation=True, max_length=max_length, return_token_type_ids=num_types > 1, verbose=False
    )
    types = encoded["token_type_ids"] if num_types > 1 else [None] * len(examples)
    return [
        EncodedText(tuple(ids), None if kinds is None else tuple(kinds), example.label)
        for ids, kinds, example in zip(encoded["input_ids"], types, examples, strict=True)
    ]


@dataclass(frozen=True)
class LabelBatch:
    """n examples, either end to end in one row [1, T] or padded [n, longest].

    `position_ids` [1, T] restart with every example and are there in a packed batch only, `attention_mask`
    [n, longest] in a padded one; `token_type_ids` as `input_ids`; `labels` [n], NaN where there is none.
    """

    input_ids: Tensor
    lengths: list[int]
    labels: Tensor
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    attention_mask: Tensor | None = None

    @property
    def num_targets(self) -> int:
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    @property
    def num_places(self) -> int:
        return self.input_ids.numel()

    def to(self, device: torch.device) -> LabelBatch:
        """The same batch on another device."""
        moved = {k: v.to(device, non_blocking=True) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)  # type: ignore[arg-type]


def pack_labelled(examples: Sequence[EncodedText], first_position: int) -> LabelBatch:
    """Examples end to end; `first_position` is the position of a first token (RoBERTa counts from behind the pad)."""
    lengths = [len(example.ids) for example in examples]
    has_types = examples[0].types is not None
    return LabelBatch(
        input_ids=torch.tensor([[token for example in examples for token in example.ids]]),
        lengths=lengths,
        labels=_labels(examples),
        token_type_ids=torch.tensor([[t for e in examples for t in e.types or ()]]) if has_types else None,
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None] + first_position,
    )


def pad_labelled(examples: Sequence[EncodedText], pad_id: int) -> LabelBatch:
    """Examples one below the other, as wide as the longest of them."""
    longest = max(len(example.ids) for example in examples)

    def table(rows: Sequence[Sequence[int]], filling: int) -> Tensor:
        return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows])

    has_types = examples[0].types is not None
    return LabelBatch(
        input_ids=table([example.ids for example in examples], pad_id),
        lengths=[len(example.ids) for example in examples],
        labels=_labels(examples),
        token_type_ids=table([example.types or () for example in examples], 0) if has_types else None,
        attention_mask=table([[1] * len(example.ids) for example in examples], 0),
    )


def _labels(examples: Sequence[EncodedText]) -> Tensor:
    return torch.tensor([torch.nan if e.label is None else e.label for e in examples], dtype=torch.float32)
