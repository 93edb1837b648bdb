"""Rows of a run -> examples, and a note on everything that does not fit the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from lorafit.data import Split
from lorafit.objectives.base import AnyObjective
from lorafit.objectives.encoded import Noun
from lorafit.recipe import DataSection

_ROW: Noun = ("row", "rows")
_SPLITS: Mapping[Split, str] = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Examples:
    """What is trained and validated on, and notes: which rows are cut, and which tokens the base does not know."""

    train: Sequence[Any]
    valid_rows: Sequence[Any]
    valid: Sequence[Any]
    notes: Sequence[str]


def encode_rows(
    objective: AnyObjective,
    tokenizer: PreTrainedTokenizerBase,
    rows: Mapping[Split, Sequence[Any]],
    data: DataSection,
    scored_split: Split,
) -> Examples:
    """The examples of the training rows and, where they are among `rows`, of the others.

    Raises DataError where too little is left to learn, or a row has a token that the base does not know.
    """
    encoder, valid_rows = objective.encoder(tokenizer), objective.validation_rows(rows.get("valid", []))
    train = encoder.encode(rows["train"])
    noun = noun_of("train", _ROW)
    train.check_targets(noun, data)
    valid = encoder.encode(valid_rows)
    notes = [
        *objective.notes(tokenizer),
        train.checked_note(noun),
        valid.checked_note(noun_of("valid", _ROW)),
    ]
    if scored_split in rows:
        inputs = objective.encode_inputs(tokenizer, rows[scored_split])
        notes.append(inputs.checked_note(noun_of(scored_split, objective.input_noun)))
    said = dict.fromkeys(note for note in notes if note is not None)
    return Examples(train.examples, valid_rows, valid.examples, list(said))


def noun_of(split: Split, noun: Noun) -> Noun:
    """("test row", "test rows")."""
    one, many = noun
    return f"{_SPLITS[split]} {one}", f"{_SPLITS[split]} {many}"
