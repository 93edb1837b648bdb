"""File formats, one file each. To add one: write its reader, and its class into READERS."""

from __future__ import annotations

from pathlib import Path

from lorafit.data.readers.base import Reader
from lorafit.data.readers.csv import Csv
from lorafit.data.readers.dart import Dart
from lorafit.data.readers.e2e import E2E
from lorafit.data.readers.json import JsonArray
from lorafit.data.readers.jsonl import JsonLines
from lorafit.data.readers.parquet import Parquet
from lorafit.data.readers.plain_text import PlainText
from lorafit.data.readers.tsv import Tsv
from lorafit.data.readers.webnlg import WebNLG
from lorafit.errors import DataError, SetKey, lookup

READERS: dict[str, type[Reader]] = {
    reader.name: reader for reader in (Csv, Tsv, JsonArray, JsonLines, Parquet, PlainText, E2E, Dart, WebNLG)
}

_GZIP_SUFFIX = ".gz"


def reader_for(path: Path, name: str | None = None, columns: tuple[str, ...] = ()) -> Reader:
    """The reader of that name, or the one for the file's suffix (`.csv` and `.csv.gz` alike).

    `columns` names the columns of a table without a header line; other formats name them themselves. Raises
    RecipeError for an unknown name, DataError for an unknown suffix.
    """
    reader = _by_suffix(path) if name is None else lookup(READERS, name, "format", where="[data] format")
    return reader(columns)


def known_suffixes(*, with_keys: bool = False) -> list[str]:
    """The suffixes by which a format is known, each without and with `.gz`; or those of formats `with_keys` alone."""
    readers = [reader for reader in READERS.values() if reader.has_keys or not with_keys]
    plain = [suffix for reader in readers for suffix in reader.suffixes]
    return [*plain, *(suffix + _GZIP_SUFFIX for suffix in plain)]


def _by_suffix(path: Path) -> type[Reader]:
    suffix = path.with_suffix("").suffix if path.suffix == _GZIP_SUFFIX else path.suffix
    found = next((reader for reader in READERS.values() if suffix.lower() in reader.suffixes), None)
    if found is None:
        plain = [suffix for reader in READERS.values() for suffix in reader.suffixes]
        raise DataError(
            f"{path}: unknown kind of file {suffix!r}; it must be one of {', '.join(plain)}, each also gzipped (.gz)",
            SetKey("data.format", note=f"to one of {', '.join(READERS)}"),
        )
    return found


__all__ = ["READERS", "Reader", "known_suffixes", "reader_for"]
