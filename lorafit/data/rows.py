"""Typed rows: what a task makes of the raw rows of a file, before any tokenizer sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TextRow:
    """A prompt and the text that shall follow it; `part` is the part of the split, such as WebNLG's "seen"."""

    prompt: str
    completion: str
    part: str = ""


@dataclass(frozen=True)
class LabelRow:
    """One text or two, by the name of their column; `part` is the part of the split, such as MNLI's "matched".

    `label` is the index of a class or a score; None where it is not known, as in GLUE's test splits.
    """

    texts: Mapping[str, str]
    label: float | None
    part: str = ""
