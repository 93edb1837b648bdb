"""One JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader, read_text
from lorafit.data.rows import RawRow


@dataclass(frozen=True)
class JsonLines(Reader):
    """JSON lines: an object on each line."""

    name: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a line."""
        return read_lines(read_text(stream, where))


def read_lines(text: str) -> Iterator[RawRow]:
    """The rows of a text with a JSON object on each line."""
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            value = json.loads(line, object_pairs_hook=unique_object)
        except json.JSONDecodeError as error:
            yield RawRow(number, {}, f"not valid JSON: {error.msg}" if line.strip() else "a blank line")
        except ValueError as error:
            yield RawRow(number, {}, str(error))
        except RecursionError:
            yield RawRow(number, {}, "nested too deeply")
        else:
            yield object_row(number, value)


def object_row(number: int, value: object) -> RawRow:
    """A JSON object as a row."""
    return RawRow(number, value) if isinstance(value, dict) else RawRow(number, {}, "not a JSON object")


def unique_object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A JSON object. Raises ValueError where a key occurs twice, since either value could be meant."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in an object")
    return value
