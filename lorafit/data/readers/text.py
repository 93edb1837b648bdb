"""The one rule for all text formats: UTF-8; byte-order marks are passed over; CRLF is a line end like LF, and CR alone
is none; blank lines at the end are no rows; a line has the number that an editor shows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lorafit.errors import DataError

_KINDS = (
    (re.escape(codecs.BOM_UTF32_LE), "UTF-32 text"),
    (re.escape(codecs.BOM_UTF32_BE), "UTF-32 text"),
    (re.escape(codecs.BOM_UTF16_LE), "UTF-16 text"),
    (re.escape(codecs.BOM_UTF16_BE), "UTF-16 text"),
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive (or a spreadsheet)"),
    (rb"\x1f\x8b", "gzipped twice"),
    (rb"BZh\d1AY&SY", "a bzip2 file"),
    (rb"\xfd7zXZ\0", "an xz file"),
    (rb"\x28\xb5\x2f\xfd", "a zstd file"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"\xd0\xcf\x11\xe0", "a spreadsheet or another file of Office"),
    (rb"PAR1", "a parquet file"),
    (rb"ARROW1", "an Arrow file"),
    (rb"Obj\x01", "an Avro file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF", "an HDF5 file"),
    (rb"SQLite format 3\0", "an SQLite database"),
    (rb"%PDF-", "a PDF"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"\s*<\?xml\b", "XML"),
    (rb"(?i)\s*<(!doctype\s+)?html\b", "HTML"),
    (rb"version https://git-lfs", "a pointer of Git LFS to a file that was not fetched"),
)
_ROOT_ELEMENT = re.compile(rb"\s*<([A-Za-z_][\w.:-]*)[\s>]")
_HEAD_BYTES = 1 << 16  # by which it is told what a file is

STRAY_CR = "holds a CR that ends no line; lines end with LF or CRLF"


@dataclass(frozen=True)
class Line:
    """A line of a text file, without its end; `fault` says why it is no row."""

    number: int
    text: str
    fault: str = ""


def kind_of(content: bytes) -> str | None:
    """What a file is that is not plain text, by its bytes; None where nothing is known of it."""
    for pattern, kind in _KINDS:
        if re.match(pattern, content):
            return kind
    root = _ROOT_ELEMENT.match(content)
    if root and content.count(end := b"</" + root[1] + b">") == 1 and content.rstrip().endswith(end):
        return "XML"
    return None


def read_text(stream: BinaryIO, where: str) -> str:
    """The text of a file, lines ending with LF, without byte-order marks and without blank lines at the end.

    Raises as `read_lines`.
    """
    return "\n".join(line.text for line in read_lines(stream, where))


def read_lines(stream: BinaryIO, where: str) -> Iterator[Line]:
    """The lines of a file, each read when it is asked for; blank ones at the end are none.

    A byte-order mark is passed over at the start of any line: that is where it comes to lie when files are joined.
    Raises DataError for what is not UTF-8, is empty, or is a file of another kind.
    """
    _check_kind(stream, where)
    blank: list[Line] = []  # lines at what may be the end
    place, is_empty = 0, True
    for number, content in enumerate(stream, start=1):
        whole = _decoded(content, f"{where}:{number}", place)
        place += len(content)
        text = whole.removesuffix("\n").removesuffix("\r") if whole.endswith("\n") else whole
        if "\r" in text and text is whole and number == 1:
            raise DataError(f"{where}: its lines end with CR alone; save it with LF or CRLF line ends")
        line = Line(number, text.lstrip("\ufeff"), STRAY_CR if "\r" in text else "")
        if not line.text.strip(" "):
            blank.append(line)
            continue
        yield from blank
        blank.clear()
        is_empty = False
        yield line
    if is_empty:
        raise DataError(f"{where}: is empty")


def _check_kind(stream: BinaryIO, where: str) -> None:
    """Raises DataError for a file of another kind. The stream is then behind the byte-order marks at its beginning."""
    start = 0
    while (head := stream.read(_HEAD_BYTES)).startswith(codecs.BOM_UTF8):
        start += len(codecs.BOM_UTF8)
        stream.seek(start)
    content = head + stream.read() if _ROOT_ELEMENT.match(head) else head
    if kind := kind_of(content):
        raise DataError(f"{where}: not UTF-8 text: it is {kind}")
    stream.seek(start)


def _decoded(content: bytes, where: str, place: int) -> str:
    """A line, which begins at that byte of its file. Raises DataError for what is not UTF-8, or holds a NUL."""
    if (nul := content.find(b"\0")) >= 0:
        raise DataError(
            f"{where}: not UTF-8 text: it holds a NUL (byte {place + nul}), as files in UTF-16 do"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text (byte {place + error.start})") from None
