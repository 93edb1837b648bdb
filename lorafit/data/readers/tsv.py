"""Tables of fields between tabs; quotes are ordinary characters, as GLUE's own readers have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.table import Record, Table
from lorafit.data.readers.text import read_lines
from lorafit.data.rows import RawRow


@dataclass(frozen=True)
class Tsv(Reader):
    """Tab-separated values: a header line and one line a row, without quoting."""

    name: ClassVar[str] = "tsv"
    suffixes: ClassVar[tuple[str, ...]] = (".tsv",)
    has_header: ClassVar[bool] = True

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a line."""
        lines = read_lines(stream, where)
        records = (Record(line.number, line.text.split("\t"), line.fault) for line in lines)
        return Table(where, self.columns, "tabs").rows(records)
