"""Raw JSON files as typed records, with errors that name file and entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lorafit.data.sources import read_json
from lorafit.errors import NotFoundError

T = TypeVar("T")


class Record(BaseModel):
    """An object of a raw file; keys that nobody needs are passed over, and a number stands for its text."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)


def read_records(path: Path, structure: TypeAdapter[T], what: str) -> T:
    """The content of a JSON file as `structure`; `what` says what it should be, in an error.

    Raises NotFoundError for a file that cannot be read, is not JSON, or is built in another way: with the first entry
    that does not fit.
    """
    content = read_json(path)
    try:
        return structure.validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        raise NotFoundError(
            f"{path}: {_where(fault['loc'])}{_plain(fault['msg'])}; expected {what}"
        ) from None


def _where(place: Sequence[int | str]) -> str:
    """("entries", 12, "13", "lexicalisations", 0, "lex") -> "entry 13, lexicalisations[0].lex: ", counted from 1."""
    rest = list(place[1:] if place[:1] == ("entries",) else place)
    entry = f"entry {int(rest.pop(0)) + 1}" if rest and isinstance(rest[0], int) else ""
    if entry and rest and isinstance(rest[0], str) and rest[0].isdigit():
        rest.pop(0)  # WebNLG's entries are objects of one key, their own number
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).removeprefix(".")
    where = ", ".join(filter(None, (entry, path)))
    return f"{where}: " if where else ""


def _plain(message: str) -> str:
    """pydantic's message in the words of JSON."""
    message = message.replace("Input should be", "should be").replace("Field required", "is missing")
    return (
        message.replace("valid tuple", "list")
        .replace("valid dictionary", "object")
        .replace("a valid str", "a str")
    )
