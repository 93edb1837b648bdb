"""A JSON array of objects; a file with an object on each line is read too, for that is what many a `.json` file is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.objects import array_rows, begins_with_object, is_one_object, line_rows
from lorafit.data.readers.text import read_lines, read_text
from lorafit.data.rows import RawRow
from lorafit.errors import DataError


@dataclass(frozen=True)
class JsonArray(Reader):
    """JSON: an array of objects, or an object on each line."""

    name: ClassVar[str] = "json"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row an object; its line is the one on which it begins."""
        if begins_with_object(stream, where):
            return line_rows(read_lines(stream, where))
        text = read_text(stream, where)
        if text.lstrip().startswith("["):
            return array_rows(text, where)
        if is_one_object(text):
            raise DataError(f"{where}: one JSON object, expected an array of objects or an object a line")
        stream.seek(0)
        return line_rows(read_lines(stream, where))
