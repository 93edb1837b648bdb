"""JSON files of entries with a fixed structure (DART, WebNLG), and faults in them by entry and key."""

from __future__ import annotations

from collections.abc import Sequence
from json import JSONDecodeError
from typing import Annotated, BinaryIO, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from lorafit.data.cells import as_text, shown
from lorafit.data.readers.objects import RepeatedKeyError, json_fault, line_of_repeated_key, parse_json
from lorafit.data.readers.text import read_text
from lorafit.errors import DataError

T = TypeVar("T")


def _text(value: object) -> object:
    """A number stands for its text, as in files of one's own; what is neither is left to pydantic to refuse."""
    match value:
        case bool():
            return value
        case str() | int() | float():
            return as_text(value)
    return value


Text = Annotated[str, BeforeValidator(_text)]


class Record(BaseModel):
    """An object of a raw file; keys that nobody needs are passed over."""

    model_config = ConfigDict(frozen=True)


def read_document(stream: BinaryIO, where: str) -> object:
    """A whole JSON file. Raises DataError with the place of the fault."""
    text = read_text(stream, where)
    try:
        return parse_json(text)
    except JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}: {json_fault(error)}") from None
    except RepeatedKeyError as error:
        raise DataError(f"{where}:{line_of_repeated_key(text)}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {json_fault(error)}") from None


def parse_entry(structure: TypeAdapter[T], value: object, shape: str) -> T:
    """An entry of a file as `structure`.

    Raises ValueError with the first key that does not fit, and `shape`: what the file should look like.
    """
    try:
        return structure.validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{_place(fault['loc'])}{_plain(fault['msg'])}; expected {shape}") from None


def fault_of_language(lang: object) -> str:
    """Why a text is none of the paper's, which are in English; WebNLG of 2020 has Russian ones, too."""
    is_english = lang is None or (isinstance(lang, str) and (lang or "en").lower().startswith("en"))
    return "" if is_english else f"lang is {shown(lang)}"


def _place(keys: Sequence[int | str]) -> str:
    """("lexicalisations", 0, "lex") -> "lexicalisations[0].lex: "."""
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return f"{path}: " if path else ""


def _plain(message: str) -> str:
    """pydantic's message in the words of JSON."""
    message = message.removeprefix("Value error, ")
    message = message.replace("Input should be", "should be").replace("Field required", "is missing")
    for theirs, ours in (
        ("valid tuple", "list"),
        ("a valid dictionary or instance of _Entry", "an object"),
        ("valid dictionary", "object"),
        ("a valid str", "a str"),
    ):
        message = message.replace(theirs, ours)
    return message
