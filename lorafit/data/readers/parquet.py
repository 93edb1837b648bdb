"""Parquet files; the hub keeps its data sets so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.table import check_unique
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, reason_of


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

        try:
            file = parquet.ParquetFile(stream)
            check_unique(file.schema_arrow.names, where)
            number = 0
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    yield RawRow(number, fields)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{where}: not a readable parquet file: {reason_of(error)}") from None
        if not number:
            raise DataError(f"{where}: is empty")
