"""Tables of fields between commas, quoted where a field holds a comma, a quote or a line break (RFC 4180)."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader, read_text
from lorafit.data.readers.table import Table
from lorafit.data.rows import RawRow
from lorafit.errors import DataError


@dataclass(frozen=True)
class Csv(Reader):
    """Comma-separated values: a header line and one record a row, quoted as spreadsheets write them."""

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv",)
    has_header: ClassVar[bool] = True

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a record; its line is the one on which it begins."""
        records = _records(read_text(stream, where), where)
        return Table(where, self.columns, "commas").rows(records)


def _records(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(sys.maxsize)  # the module's own limit refuses fields over 131,072 characters
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    first = 1
    try:
        for fields in reader:
            yield first, fields or [""]
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{where}:{first}: not valid CSV: {error}") from None
