"""Texts with a label: one or two texts -> token ids, and batches of them, packed into one row or padded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lorafit.data.batches import padded, shares_of, to_device
from lorafit.data.encoding.sequences import from_run_lengths, run_lengths
from lorafit.data.rows import Label, LabelRow

_CLASSES, _INDEX, _NUMBER = range(3)  # what a label is


@dataclass(frozen=True)
class EncodedText:
    """Token ids with the special tokens in them; `types` (0 first text, 1 second) where the model reads them."""

    ids: tuple[int, ...]
    types: tuple[int, ...] | None
    label: Label | None

    def columns(self) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """The ids, the lengths of stretches of one type, and what the label is."""
        return self.ids, () if self.types is None else run_lengths(self.types), _label_column(self.label)

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[int]]) -> Self:
        ids, runs, label = columns
        types = tuple(from_run_lengths(runs)) if len(runs) else None
        return cls(tuple(ids), types, _label_of(label))


def _label_column(label: Label | None) -> list[int]:
    """Empty for none; else a mark of its type, and its value."""
    match label:
        case None:
            return []
        case tuple():
            return [_CLASSES, *label]
        case int():
            return [_INDEX, label]
    return [_NUMBER, *struct.unpack("ii", struct.pack("d", label))]


def _label_of(column: Sequence[int]) -> Label | None:
    match [*column]:
        case []:
            return None
        case [mark, *classes] if mark == _CLASSES:
            return tuple(classes)
        case [mark, index] if mark == _INDEX:
            return index
        case [_, *halves]:
            number: float = struct.unpack("d", struct.pack("ii", *halves))[0]
            return number
    raise AssertionError(f"no label: {[*column]}")


def encode_labelled(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[LabelRow],
    num_types: int,
    max_length: int | None = None,
) -> list[EncodedText]:
    """As the paper's run_glue.py: a text, or a pair of which the longer one loses its end until `max_length` fits.

    `num_types` is the model's `type_vocab_size`: below 2 it cannot tell a first from a second text by them.
    """
    if not rows:
        return []
    texts = [list(row.texts.values()) for row in rows]
    columns = [[row[i] for row in texts] for i in range(len(texts[0]))]
    limit = {} if max_length is None else {"truncation": True, "max_length": max_length}
    encoded = tokenizer(*columns, return_token_type_ids=num_types > 1, verbose=False, **limit)
    types = encoded["token_type_ids"] if num_types > 1 else [None] * len(rows)
    return [
        EncodedText(tuple(ids), None if kinds is None else tuple(kinds), row.label)
        for ids, kinds, row in zip(encoded["input_ids"], types, rows, strict=True)
    ]


@dataclass(frozen=True)
class LabelBatch:
    """n examples, either end to end in one row [1, T] or padded [n, longest].

    `position_ids` [1, T] restart with every example and are there in a packed batch only, `attention_mask`
    [n, longest] in a padded one; without either every row is read on its own. `token_type_ids` as `input_ids`;
    `labels` [n], or [n, classes] where a text may have several; `num_targets` (examples), `num_tokens` and
    `target_weights` by member.
    """

    input_ids: Tensor
    lengths: list[int]
    labels: Tensor
    num_targets: tuple[int, ...]
    num_tokens: tuple[int, ...]
    token_type_ids: Tensor | None = None
    position_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    sums_of_weights: tuple[float, ...] | None = None  # of the examples' classes; None: each counts 1

    @property
    def target_weights(self) -> tuple[float, ...]:
        return self.num_targets if self.sums_of_weights is None else self.sums_of_weights

    @property
    def num_places(self) -> int:
        return self.input_ids.numel()

    def to(self, device: torch.device) -> LabelBatch:
        """The same batch on another device."""
        return to_device(self, device)


def pack_labelled(
    examples: Sequence[EncodedText], first_position: int, counts: Sequence[int] | None = None
) -> LabelBatch:
    """Examples end to end; `first_position` is the position of a first token (RoBERTa counts from behind the pad).

    `counts`: how many of the examples belong to each member, in order; None where there is one member.
    """
    lengths = [len(example.ids) for example in examples]
    has_types = examples[0].types is not None
    return LabelBatch(
        input_ids=torch.tensor([[token for example in examples for token in example.ids]]),
        lengths=lengths,
        labels=labels_of(examples),
        num_targets=tuple(counts or (len(examples),)),
        num_tokens=shares_of(lengths, counts),
        token_type_ids=torch.tensor([[t for e in examples for t in e.types or ()]]) if has_types else None,
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None] + first_position,
    )


def pad_labelled(
    examples: Sequence[EncodedText], pad_id: int, counts: Sequence[int] | None = None
) -> LabelBatch:
    """Examples one below the other, as wide as the longest of them."""
    lengths = [len(example.ids) for example in examples]
    has_types = examples[0].types is not None
    return LabelBatch(
        input_ids=padded([example.ids for example in examples], pad_id),
        lengths=lengths,
        labels=labels_of(examples),
        num_targets=tuple(counts or (len(examples),)),
        num_tokens=shares_of(lengths, counts),
        token_type_ids=padded([example.types or () for example in examples], 0) if has_types else None,
        attention_mask=padded([[1] * length for length in lengths], 0),
    )


def labels_of(examples: Sequence[EncodedText]) -> Tensor:
    """The labels of a batch; NaN for all where one is not known, as it is in none that is trained on."""
    known = [example.label for example in examples if example.label is not None]
    return torch.tensor(
        known if len(known) == len(examples) else [torch.nan] * len(examples), dtype=torch.float32
    )
