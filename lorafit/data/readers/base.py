"""What a reader is, and the one rule for all text formats: UTF-8, a BOM is skipped, CRLF is a line end like LF, and
blank lines at the end are no rows."""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.rows import RawRow
from lorafit.errors import DataError


@dataclass(frozen=True)
class Reader(ABC):
    """A file format. `columns` names the columns of a table without a header line."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[tuple[str, str]] = ("line", "lines")  # what a row's number counts
    has_header: ClassVar[bool] = False  # whether all rows have the same columns

    columns: tuple[str, ...] = ()

    @abstractmethod
    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """The rows of a file, in order; one that is malformed says so in its `fault`.

        `where` is the file in a message. Raises DataError for a file that is not of this format.
        """


_MARKS = {
    codecs.BOM_UTF16_LE: "UTF-16 text",
    codecs.BOM_UTF16_BE: "UTF-16 text",
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"<?xml": "XML",
    b"PAR1": "a parquet file",
}


def read_text(stream: BinaryIO, where: str) -> str:
    """The text of a file, lines ending with LF, without BOM and without blank lines at the end.

    Raises DataError for what is not UTF-8, is empty, or is a file of another kind.
    """
    content = stream.read().removeprefix(codecs.BOM_UTF8)
    for mark, kind in _MARKS.items():
        if content.startswith(mark):
            raise DataError(f"{where}: not UTF-8 text: it is {kind}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}:{line}: not UTF-8 text (byte {error.start})") from None
    text = text.replace("\r\n", "\n")
    if "\r" in text and "\n" not in text:
        raise DataError(f"{where}: its lines end with CR alone; save it with LF or CRLF line ends")
    text = _without_blank_end(text)
    if not text:
        raise DataError(f"{where}: is empty")
    return text


def _without_blank_end(text: str) -> str:
    """Blank lines at the end are dropped; the last line that is not blank keeps the spaces at its end."""
    last = len(text.rstrip("\n "))
    end = text.find("\n", last)
    return "" if last == 0 else text if end < 0 else text[:end]
