"""JSON files of entries with a fixed structure (DART, WebNLG), and faults in them by entry and key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lorafit.data.readers.base import read_text
from lorafit.data.readers.jsonl import unique_object
from lorafit.errors import DataError

T = TypeVar("T")


class Record(BaseModel):
    """An object of a raw file; keys that nobody needs are passed over, and a number stands for its text."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)


def read_document(stream: BinaryIO, where: str) -> object:
    """A whole JSON file. Raises DataError with the place of the fault."""
    try:
        return json.loads(read_text(stream, where), object_pairs_hook=unique_object)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}: not valid JSON: {error.msg}") from None
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    except RecursionError:
        raise DataError(f"{where}: nested too deeply") from None


def parse_entry(structure: TypeAdapter[T], value: object, shape: str) -> T:
    """An entry of a file as `structure`.

    Raises ValueError with the first key that does not fit, and `shape`: what the file should look like.
    """
    try:
        return structure.validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{_place(fault['loc'])}{_plain(fault['msg'])}; expected {shape}") from None


def _place(keys: Sequence[int | str]) -> str:
    """("lexicalisations", 0, "lex") -> "lexicalisations[0].lex: "."""
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return f"{path}: " if path else ""


def _plain(message: str) -> str:
    """pydantic's message in the words of JSON."""
    message = message.replace("Input should be", "should be").replace("Field required", "is missing")
    for theirs, ours in (
        ("valid tuple", "list"),
        ("a valid dictionary or instance of _Entry", "an object"),
        ("valid dictionary", "object"),
        ("a valid str", "a str"),
    ):
        message = message.replace(theirs, ours)
    return message
