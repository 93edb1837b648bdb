"""Typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TextRow:
    prompt: str
    completion: str
    part: str = ""


@dataclass(frozen=True)
class LabelRow:
    texts: Mapping[str, str]
    label: float | None
    part: str = ""
