"""A JSON array of objects; a file with an object on each line is read too, for that is what many a `.json` file is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader, read_text
from lorafit.data.readers.jsonl import object_row, read_lines, unique_object
from lorafit.data.rows import RawRow
from lorafit.errors import DataError

_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class JsonArray(Reader):
    """JSON: an array of objects, or an object on each line."""

    name: ClassVar[str] = "json"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row an object; its line is the one on which it begins."""
        text = read_text(stream, where)
        if text.lstrip().startswith("["):
            return _elements(text, where)
        if _is_one_object(text):
            raise DataError(f"{where}: one JSON object, expected an array of objects or an object a line")
        return read_lines(text)


def _is_one_object(text: str) -> bool:
    """Whether the whole file is an object that is written over several lines."""
    if "\n" not in text.strip():
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _elements(text: str, where: str) -> Iterator[RawRow]:
    """The elements of a JSON array, one by one, each with its line."""
    decoder = json.JSONDecoder(object_pairs_hook=unique_object)
    place, line, num_rows = _skip_space(text, text.index("[") + 1), 1, 0
    counted = 0  # how much of the text `line` has counted
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}:{error.lineno}: not valid JSON: {error.msg}") from None
        except ValueError as error:
            raise DataError(f"{where}:{line}: {error}") from None
        except RecursionError:
            raise DataError(f"{where}:{line}: nested too deeply") from None
        num_rows += 1
        yield object_row(line, value)
        place = _after_element(text, place, where)
    if rest := text[place + 1 :].strip():
        raise DataError(f"{where}: not valid JSON: {rest[:20]!r} stands behind the array")
    if not num_rows:
        raise DataError(f"{where}: is an empty array")


def _after_element(text: str, place: int, where: str) -> int:
    """The place of the next element, or of the bracket that ends the array."""
    place = _skip_space(text, place)
    mark = text[place : place + 1]
    if mark == ",":
        place = _skip_space(text, place + 1)
        mark = "" if text[place : place + 1] in ("]", "") else mark
    if mark not in (",", "]"):
        line = text.count("\n", 0, place) + 1
        raise DataError(f"{where}:{line}: not valid JSON: expected ',' and an object, or ']'")
    return place


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
