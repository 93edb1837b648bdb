"""Typed rows that are too many to be held in memory: they lie in a file, and are read when they are asked for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from lorafit import cache
from lorafit.cache import Key
from lorafit.data.flat import Records, RecordWriter
from lorafit.data.rows import ROW_TYPES, Row
from lorafit.files import JsonObject

FEW_ROWS = 10_000  # so many are held in memory: that is faster, and takes less than importing torch
_WRITTEN_ROWS = 1024  # are written together
_NAME = "rows"

RowT = TypeVar("RowT", covariant=True)


class StoredRows(Sequence[RowT]):
    """Rows in a file. `key` tells them from all others, `about` is what was said when they were stored."""

    def __init__(
        self, records: Records, of_cells: Callable[[Sequence[Any]], RowT], key: Key, about: JsonObject
    ) -> None:
        self.key, self.about = key, about
        self._records, self._of_cells = records, of_cells

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> list[RowT]: ...
    def __getitem__(self, index: int | slice) -> RowT | list[RowT]:
        match index:
            case slice():
                return self._rows(self._records[index])
        return self._row(self._records[index])

    def __iter__(self) -> Iterator[RowT]:
        return map(self._row, self._records)

    def blocks(self, most: int) -> Iterator[list[RowT]]:
        """All rows in order, at most so many at a time, and fewer where they are long."""
        for records in self._records.blocks(most):
            yield self._rows(records)

    def _row(self, record: bytes) -> RowT:
        (row,) = self._rows([record])
        return row

    def _rows(self, records: Sequence[bytes]) -> list[RowT]:
        """Read as one text: that takes a quarter of the time of one by one."""
        content = b"[" + b",".join(records) + b"]"
        return [self._of_cells(cells) for cells in json.loads(content.decode("utf-8", "surrogatepass"))]


def find_rows(key: Key) -> StoredRows[Row] | None:
    """The rows that an earlier process stored; None where it did not, or they were few."""
    return cache.find(key, lambda folder, about: _open(folder, about, key))


def keep_rows(rows: Iterable[Row], key: Key, about: Callable[[], JsonObject]) -> Sequence[Row]:
    """The rows as a list where they are few, else stored. `about` is asked for when all are read, and may raise."""
    left = iter(rows)
    first = list(itertools.islice(left, FEW_ROWS + 1))
    if len(first) <= FEW_ROWS:
        return first

    def write(folder: Path) -> JsonObject:
        writer = RecordWriter(folder, _NAME)
        rows = itertools.chain(first, left)
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        while block := list(itertools.islice(rows, _WRITTEN_ROWS)):
            writer.extend([encode(row.cells()).encode("utf-8", "surrogatepass") for row in block])
        writer.close()
        return {"row_type": type(first[0]).__name__, **about()}

    return cache.make(key, write, lambda folder, said: _open(folder, said, key))


def _open(folder: Path, about: JsonObject, key: Key) -> StoredRows[Row]:
    return StoredRows(Records(folder, _NAME), ROW_TYPES[about["row_type"]].of_cells, key, about)
