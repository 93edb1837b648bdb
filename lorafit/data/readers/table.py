"""Records of a table without types (csv, tsv) -> rows with named fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafit.data.cells import repeated, shown_names
from lorafit.data.rows import RawRow
from lorafit.errors import Advice, DataError


@dataclass(frozen=True)
class Record:
    """The fields of a record that begins on a line; `fault` says why it is no row."""

    line: int
    fields: Sequence[str]
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """`columns` names the fields of a file without a header line; `between` is what separates them, in a message."""

    where: str
    columns: tuple[str, ...]
    between: str

    def rows(self, records: Iterator[Record]) -> Iterator[RawRow]:
        """Records -> rows. The first record is the header, unless `columns` are given and none is in it.

        Raises DataError for a header that names a column twice, and for one without rows below it.
        """
        first = next(records)
        is_bare = bool(self.columns) and not set(self.columns) & set(first.fields)
        if first.fault and not is_bare:
            raise DataError(f"{self.where}:{first.line}: the header {first.fault}")
        if list(first.fields) == [""]:
            raise DataError(f"{self.where}:{first.line}: the header is a blank line")
        header = self.columns if is_bare else tuple(first.fields)
        check_unique(header, f"{self.where}:{first.line}" if not is_bare else "[data] columns")
        if is_bare:
            yield self._row(first, header)
        num_rows = int(is_bare)
        for record in records:
            num_rows += 1
            yield self._row(record, header)
        if not num_rows:
            raise DataError(f"{self.where}: has a header and no rows")

    def _row(self, record: Record, header: tuple[str, ...]) -> RawRow:
        fields, fault = record.fields, record.fault
        if not fault and len(fields) != len(header):
            plural = "" if len(fields) == 1 else "s"
            found = (
                "a blank line" if fields == [""] else f"{len(fields)} field{plural} between {self.between}"
            )
            fault = f"{found}, expected {len(header)} ({shown_names(header)})"
        if not fault and tuple(fields) == header:
            fault = "the header once more, as where files were joined"
        if fault:
            return RawRow(record.line, {}, fault)
        return RawRow(record.line, dict(zip(header, fields, strict=True)))


def check_unique(header: Sequence[str], where: str) -> None:
    """A name that occurs twice in a header could mean either column. Raises DataError that says which."""
    if (twice := repeated(header)) is not None:
        raise DataError(
            f"{where}: the column {twice!r} occurs twice", Advice("give each column a name of its own")
        )
