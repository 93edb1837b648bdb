"""Parquet files; the hub keeps its data sets so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from typing_extensions import override

from lorafit.data.readers.base import Reader
from lorafit.data.readers.table import check_unique
from lorafit.data.readers.text import kind_of
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, reason_of

if TYPE_CHECKING:
    import pyarrow as pa

_HEAD_BYTES = 1024
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class Unreadable:
    """A cell that Python cannot hold, such as a time in the year 300,000, or a text that is not UTF-8."""

    type: str

    def __repr__(self) -> str:
        return f"an unreadable {self.type}"


@dataclass(frozen=True)
class Parquet(Reader):
    """Parquet: a table with typed columns."""

    name: ClassVar[str] = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    unit: ClassVar[tuple[str, str]] = ("row", "rows")
    has_header: ClassVar[bool] = True

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a record."""
        import pyarrow as pa
        from pyarrow import parquet

        kind = kind_of(stream.read(_HEAD_BYTES))
        stream.seek(0)
        if kind not in (None, "a parquet file"):
            raise DataError(f"{where}: not a parquet file: it is {kind}")
        number = 0
        try:
            file = parquet.ParquetFile(stream)
            check_unique(file.schema_arrow.names, where)
            for batch in file.iter_batches(_BATCH_ROWS):
                for fields in _rows(batch):
                    number += 1
                    yield RawRow(number, fields)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DataError(f"{where}: not a readable parquet file: {reason_of(error)}") from None
        if not number:
            raise DataError(f"{where}: is empty")

    @override
    def count(self, stream: BinaryIO) -> int:
        """By the footer; 0 for a file that `read` will refuse."""
        import pyarrow as pa
        from pyarrow import parquet

        try:
            return int(parquet.ParquetFile(stream).metadata.num_rows)
        except (pa.ArrowException, OSError):
            return 0
        finally:
            stream.seek(0)


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
    """The rows of a batch, by column."""
    columns = [_cells(column) for column in batch.columns]
    for cells in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, cells, strict=True))


def _cells(column: pa.Array) -> list[object]:
    """The cells of a column; one that cannot be read stands for itself, and matters only to who needs it."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, LookupError):
        return [_cell(value) for value in column]


def _cell(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except (ValueError, OverflowError, LookupError):
        return Unreadable(str(value.type))
