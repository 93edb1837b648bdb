"""JSON objects as rows: an array of them, or one on each line."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from lorafit.data.cells import repeated
from lorafit.data.readers.text import Line, read_lines
from lorafit.data.rows import RawRow
from lorafit.errors import DataError

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_OR_END = re.compile(r'"(?:[^"\\]|\\.)*+"|\}')


class RepeatedKeyError(ValueError):
    """A key occurs twice in an object, and either value could be meant."""


def unique_object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A JSON object. Raises RepeatedKeyError."""
    if (twice := repeated(key for key, _ in pairs)) is not None:
        raise RepeatedKeyError(f"the key {twice!r} occurs twice in an object")
    value = dict(pairs)
    if len(value) < len(pairs):
        raise RepeatedKeyError("the key '' occurs twice in an object")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=unique_object)


def parse_json(text: str) -> object:
    """A JSON value. Raises ValueError or RecursionError, of which `json_fault` tells the words."""
    return _DECODER.decode(text)


def json_fault(error: ValueError | RecursionError) -> str:
    """Why a JSON value cannot be read."""
    match error:
        case json.JSONDecodeError():
            return f"not valid JSON: {error.msg}"
        case RepeatedKeyError():
            return str(error)
        case RecursionError():
            return "nested too deeply"
    return "a whole number of more digits than can be read"


def line_of_repeated_key(text: str) -> int:
    """The line on which the first object with a key that occurs twice ends."""
    num_objects = 0

    def count(pairs: Sequence[tuple[str, object]]) -> object:
        nonlocal num_objects
        num_objects += 1
        return unique_object(pairs)

    try:
        json.loads(text, object_pairs_hook=count)
    except ValueError:
        ends = (match.start() for match in _STRING_OR_END.finditer(text) if match[0] == "}")
        return text.count("\n", 0, next(itertools.islice(ends, num_objects - 1, None))) + 1
    raise AssertionError("no key occurs twice")


def object_row(number: int, value: object) -> RawRow:
    """A JSON object as a row."""
    return RawRow(number, value) if isinstance(value, dict) else RawRow(number, {}, "not a JSON object")


def line_rows(lines: Iterator[Line]) -> Iterator[RawRow]:
    """The rows of a file with a JSON object on each line."""
    for line in lines:
        if not line.text.strip():
            yield RawRow(line.number, {}, "a blank line")
            continue
        try:
            value = parse_json(line.text)
        except (ValueError, RecursionError) as error:
            yield RawRow(line.number, {}, json_fault(error))
        else:
            yield object_row(line.number, value)


def array_rows(text: str, where: str) -> Iterator[RawRow]:
    """The elements of a JSON array as rows, one by one, each with the line on which it begins."""
    place, line, num_rows = _skip_space(text, text.index("[") + 1), 1, 0
    counted = 0  # how much of the text `line` has counted
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            number = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise DataError(f"{where}:{number}: {json_fault(error)}") from None
        num_rows += 1
        yield object_row(line, value)
        place = _after_element(text, place, where)
    if rest := text[place + 1 :].strip():
        raise DataError(f"{where}: not valid JSON: {rest[:20]!r} stands behind the array")
    if not num_rows:
        raise DataError(f"{where}: is an empty array")


def begins_with_object(stream: BinaryIO, where: str) -> bool:
    """Whether the first line of a file is a JSON object: then each line is one, and need not be read before it is
    asked for. Raises as `read_lines`."""
    first = next(read_lines(stream, where)).text
    stream.seek(0)
    try:
        return isinstance(parse_json(first), dict)
    except (ValueError, RecursionError):
        return False


def is_array(text: str) -> bool:
    """Whether a file is a JSON array, rather than a JSON value on each line of which the first one is a list."""
    first, _, rest = text.lstrip().partition("\n")
    if not first.startswith("["):
        return False
    try:
        parse_json(first)
    except RecursionError:
        return False
    except ValueError:
        return text.rstrip().endswith("]") and bool(rest)
    return not rest


def is_one_object(text: str) -> bool:
    """Whether the whole file is an object that is written over several lines."""
    if "\n" not in text.strip() or not text.lstrip().startswith("{"):
        return False
    try:
        parse_json(text)
    except (ValueError, RecursionError):
        return False
    return True


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
