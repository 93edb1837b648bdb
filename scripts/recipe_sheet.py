"""A recipe as a sheet of keys, values and sources, and how it is written out for people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

WIDTH = 120
COMMENT_COLUMN = 33


@dataclass(frozen=True)
class Entry:
    """`key = value  # source`; `note` is said in lines above it. A value of None leaves the note alone."""

    key: str = ""
    value: Any = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """A recipe file: `head` are paragraphs of the opening comment, `sources` explain the short marks."""

    name: str
    head: Sequence[str]
    sources: Mapping[str, str]
    remarks: Sequence[str] = ()
    sections: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    def text(self) -> str:
        """The file."""
        lines = [line for paragraph in self.head for line in _comment(paragraph)]
        used = self._marks()
        sources = [
            line
            for mark, what in self.sources.items()
            if mark in used
            for line in _comment(what, f"{mark}  ")
        ]
        lines += ["#", *sources] if sources else []
        for remark in self.remarks:
            lines += ["#", *_comment(remark)]
        for section, entries in self.sections.items():
            lines += ["", f"[{section}]", *(line for entry in entries for line in _entry(entry))]
        return "\n".join(lines) + "\n"

    def _marks(self) -> set[str]:
        entries = [entry for entries in self.sections.values() for entry in entries]
        said = " ".join([*self.head, *self.remarks, *(f"{e.source} {e.note}" for e in entries)])
        return {mark for mark in self.sources if mark in said}


def _entry(entry: Entry) -> list[str]:
    lines = _comment(entry.note) if entry.note else []
    if not entry.key:
        return lines
    assignment = f"{entry.key} = {to_toml(entry.value)}"
    if not entry.source:
        return [*lines, assignment]
    line = f"{assignment:<{COMMENT_COLUMN}}# {entry.source}"
    if len(line) <= WIDTH:
        return [*lines, line]
    return [*lines, *_comment(entry.source), assignment]


def _comment(text: str, lead: str = "") -> list[str]:
    """Wrapped lines behind `#`; all but the first are indented below `lead`."""
    first, rest = f"# {lead}", f"# {' ' * len(lead)}"
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def to_toml(value: Any) -> str:
    """A TOML value as a person writes it: 5e-4, not 0.0005."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {to_toml(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return str(value)


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _float(value: float) -> str:
    if value == 0 or abs(value) >= 1e-3:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' * sign}{mantissa}e{exponent + len(text) - 1}"
