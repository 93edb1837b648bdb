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
    """(12, "tripleset", 0) -> "entry 13, tripleset[0]: "; entries are counted from 1."""
    words = []
    for depth, part in enumerate(place):
        is_entry = isinstance(part, int) and place[:depth] in ((), ("entries",))
        words.append(
            f"entry {int(part) + 1}, " if is_entry else f"[{part}]" if isinstance(part, int) else f".{part}"
        )
    path = "".join(words).replace(", .", ", ").removeprefix(".entries").removeprefix(".").removesuffix(", ")
    return f"{path}: " if path else ""


def _plain(message: str) -> str:
    return message.replace("Input should be", "should be").replace("Field required", "is missing")
