"""Files of a system's answers, or of right ones: rows where the file has any structure, else lines of text.

A structured file is never taken for text: by its suffix, and by what stands in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lorafit.data.readers import known_suffixes
from lorafit.data.rows import RawRow
from lorafit.data.sources import FileFormat, Files
from lorafit.errors import DataError, NotFoundError

T = TypeVar("T")

_MARKUP = ("<?xml", "<!doctype", "<html")


@dataclass(frozen=True)
class Column:
    """A value of each row of a file, and the lines on which they stand; `key` is "" for lines of text."""

    where: str
    key: str
    lines: Sequence[int]
    values: Sequence[object]

    def parsed(self, parse: Callable[[object], T]) -> list[T]:
        """Each value as `parse` reads it. Raises DataError with the line of one for which it raises ValueError."""
        key = f" {self.key}:" if self.key else ""
        found = []
        for line, value in zip(self.lines, self.values, strict=True):
            try:
                found.append(parse(value))
            except ValueError as error:
                raise DataError(f"{self.where}:{line}:{key} {error}") from None
        return found


@dataclass(frozen=True)
class AnswerRows:
    """The rows of a structured file, at least one."""

    where: str
    rows: Sequence[RawRow]

    @property
    def keys(self) -> Sequence[str]:
        """Those of the first row."""
        return list(self.rows[0].fields)

    def column(self, key: str) -> Column:
        """Raises DataError with the line of a row that lacks it."""
        for row in self.rows:
            if key not in row.fields:
                raise DataError(f"{self.where}:{row.line}: no {key!r}; it has {', '.join(row.fields)}")
        return Column(
            self.where, key, [row.line for row in self.rows], [row.fields[key] for row in self.rows]
        )


def read_answer_rows(path: Path) -> AnswerRows | None:
    """The rows of a structured file; None for one of plain text.

    Raises NotFoundError for a missing file, DataError with the line of what is no row, and for a structure that holds
    no rows.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    format_name = (
        None if path.name.lower().endswith(tuple(known_suffixes(with_keys=True))) else _format_of(path)
    )
    if format_name == "text":
        return None
    rows: list[RawRow] = []
    for file in Files({path: ""}, FileFormat(format_name)).open():
        rows += file.rows
    for row in rows:
        if row.fault:
            raise DataError(f"{path}:{row.line}: {row.fault}")
    return AnswerRows(str(path), rows)


def _format_of(path: Path) -> str:
    """The name of a reader, or "text". Raises DataError for a structure that no reader knows by content alone."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        raise DataError(f"{path}: is gzipped; unzip it, or name it after what it holds, such as .jsonl.gz")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "text"  # whose reader says what is wrong
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    values = [_json_container(line) for line in lines]
    if any(isinstance(value, dict) for value in values):
        return "jsonl"
    whole = _json_container(text)
    if isinstance(whole, list) and whole and all(isinstance(value, dict) for value in whole):
        return "json"
    what = _structure(text, lines, values, whole)
    if what is not None:
        raise DataError(
            f"{path}: holds {what}, which is neither a text a line nor an object a line (JSON lines); a table must be "
            f"named .csv or .tsv"
        )
    return "text"


def _structure(text: str, lines: list[str], values: list[object], whole: object) -> str | None:
    """What is certainly no text a line, in words; None for what may be."""
    if text.lstrip().lower().startswith(_MARKUP):
        return "XML or HTML"
    if isinstance(whole, dict | list):
        return "one JSON value"
    if lines and all(isinstance(value, list) for value in values):
        return "a JSON array a line"
    counts = {line.count("\t") for line in lines}
    if len(lines) > 1 and len(counts) == 1 and counts != {0}:
        return f"{counts.pop() + 1} columns with tabs between"
    return None


def _json_container(text: str) -> object:
    """The JSON object or array that a text is; None for anything else."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
