"""Tables of fields between commas, quoted where a field holds a comma, a quote or a line break (RFC 4180)."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.table import Record, Table
from lorafit.data.readers.text import STRAY_CR, Line, read_lines
from lorafit.data.rows import RawRow
from lorafit.errors import DataError

_FIELD = re.compile(r'"(?:[^"]++|"")*+"?|[^,\n]*+')


@dataclass(frozen=True)
class Csv(Reader):
    """Comma-separated values: a header line and one record a row, quoted as spreadsheets write them."""

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)
    has_header: ClassVar[bool] = True

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a record; its line is the one on which it begins."""
        records = _records(read_lines(stream, where), where)
        return Table(where, self.columns, "commas").rows(records)


def _records(source: Iterator[Line], where: str) -> Iterator[Record]:
    """Raises DataError where quotes do not close: what follows could be anything."""
    csv.field_size_limit(sys.maxsize)  # the module's own limit refuses fields over 131,072 characters
    lines: list[str] = []  # of the record at hand

    def feed() -> Iterator[str]:
        for line in source:
            lines.append(line.text)
            yield line.text + "\n"

    reader = csv.reader(feed(), strict=True)
    first = 1
    try:
        for fields in reader:
            num_strays = sum(line.count("\r") for line in lines) - sum(field.count("\r") for field in fields)
            yield Record(first, fields or [""], STRAY_CR if num_strays else "")
            first += len(lines)
            lines.clear()
    except csv.Error as error:
        number, fault = _fault("\n".join(lines), str(error))
        raise DataError(f"{where}:{first + number}: not valid CSV: {fault}") from None


def _fault(record: str, error: str) -> tuple[int, str]:
    """Line of the record, counted from 0, and what is wrong there."""
    if "new-line character" in error:
        return 0, f"the record {STRAY_CR}"
    line = record.count("\n", 0, _last_quote(record))
    if "unexpected end" in error:
        return line, "unexpected end of data: the quote that begins a field here is never closed"
    return (
        line,
        "something stands between the quote that ends a field and the next comma; a quote in a field is doubled",
    )


def _last_quote(record: str) -> int:
    """Where the last quoted field begins."""
    place = begin = 0
    while (field := _FIELD.match(record, place)) is not None:
        begin = place if field[0].startswith('"') else begin
        place = field.end() + 1
        if record[field.end() : place] != ",":
            break
    return begin
