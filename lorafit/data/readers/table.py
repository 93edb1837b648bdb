"""Records of a table without types (csv, tsv) -> rows with named fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorafit.data.rows import RawRow
from lorafit.errors import Advice, DataError


@dataclass(frozen=True)
class Table:
    """`columns` names the fields of a file without a header line; `between` is what separates them, in a message."""

    where: str
    columns: tuple[str, ...]
    between: str

    def rows(self, records: Iterator[tuple[int, list[str]]]) -> Iterator[RawRow]:
        """(line, fields) -> rows. The first record is the header, unless `columns` are given and none is in it.

        Raises DataError for a header that names a column twice, and for one without rows below it.
        """
        line, first = next(records)
        is_bare = bool(self.columns) and not set(self.columns) & set(first)
        header = self.columns if is_bare else tuple(first)
        check_unique(header, f"{self.where}:{line}" if not is_bare else "[data] columns")
        if is_bare:
            yield self._row(line, first, header)
        num_rows = int(is_bare)
        for line, fields in records:
            num_rows += 1
            yield self._row(line, fields, header)
        if not num_rows:
            raise DataError(f"{self.where}: has a header and no rows")

    def _row(self, line: int, fields: list[str], header: Sequence[str]) -> RawRow:
        if len(fields) == len(header):
            return RawRow(line, dict(zip(header, fields, strict=True)))
        found = "a blank line" if fields == [""] else f"{len(fields)} fields between {self.between}"
        return RawRow(line, {}, f"{found}, expected {len(header)} ({', '.join(header)})")


def check_unique(header: Sequence[str], where: str) -> None:
    """A name that occurs twice in a header could mean either column. Raises DataError that says which."""
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise DataError(
            f"{where}: the column {twice[0]!r} occurs twice", Advice("give each column a name of its own")
        )
