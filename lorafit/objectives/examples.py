"""Rows of a run -> examples, and a note on everything that does not fit the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from lorafit.data import Split
from lorafit.objectives.base import AnyObjective
from lorafit.objectives.encoded import Encoded, Noun
from lorafit.recipe import DataSection

_ROW: Noun = ("row", "rows")
_EXAMPLE: Noun = ("example", "examples")
_SPLITS: Mapping[Split, str] = {"train": "training", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Examples:
    """What is trained and validated on, and the rows that can be scored.

    `notes`: which rows are cut or left out, and which tokens the base does not know.
    """

    train: Encoded[Any]
    valid_rows: Sequence[Any]
    valid: Sequence[Any]
    rows: Mapping[Split, Sequence[Any]]
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
    encoder, noun = objective.encoder(tokenizer), example_noun(objective, "train")
    train = encoder.encode(rows["train"])
    train.check_targets(noun, data)
    notes = [*objective.notes(tokenizer), *train.checked_notes(noun)]
    usable = dict(rows)
    for split in [split for split in rows if split != "train"]:
        usable[split], left_out = usable_rows(objective, tokenizer, rows[split], split)
        notes += left_out
    valid_rows = objective.validation_rows(usable.get("valid", []))
    valid = encoder.encode(valid_rows)
    notes += replace(valid, notes=()).checked_notes(example_noun(objective, "valid"))
    if scored_split in usable:
        inputs = objective.encode_inputs(tokenizer, usable[scored_split])
        notes += inputs.checked_notes(noun_of(scored_split, objective.input_noun))
    return Examples(train, valid_rows, valid.examples, usable, list(dict.fromkeys(notes)))


def usable_rows(
    objective: AnyObjective, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Any], split: Split
) -> tuple[Sequence[Any], list[str]]:
    """The rows that can be predicted and scored, and a note on others. Raises DataError unless these are skipped."""
    usable = objective.usable_rows(tokenizer, rows)
    num_left_out = len(rows) - len(usable)
    of_all = f"of {len(rows):,} {noun_of(split, _ROW)[len(rows) != 1]}"
    are = "is" if num_left_out == 1 else "are"
    note = f"{num_left_out:,} {of_all} cannot be predicted, and {are} left out"
    return usable, [note] if num_left_out else []


def example_noun(objective: AnyObjective, split: Split) -> Noun:
    """What an example is called: a row, where it is one."""
    return noun_of(split, _EXAMPLE if objective.splits_rows else _ROW)


def noun_of(split: Split, noun: Noun) -> Noun:
    """("test row", "test rows")."""
    one, many = noun
    return f"{_SPLITS[split]} {one}", f"{_SPLITS[split]} {many}"
