"""Rows -> files: the formats in which predictions are written, by suffix. To add one: a function in WRITERS."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path

from lorafit.data.cells import shown
from lorafit.errors import ChangeArgument, DataError, RecipeError, reason_of
from lorafit.files import JsonObject

Writer = Callable[[Sequence[JsonObject]], bytes]
"""Rows, which may differ in their keys -> the bytes of a file. Raises ValueError for what the format cannot hold."""


def write_rows(path: Path, rows: Sequence[JsonObject]) -> bytes:
    """The bytes of a file with these rows, gzipped where its name ends so.

    Raises RecipeError for a suffix that no format has, DataError for what the format cannot hold.
    """
    zipped = path.suffix == ".gz"
    suffix = (path.with_suffix("") if zipped else path).suffix.lower()
    if suffix not in WRITERS:
        raise RecipeError(
            f"{path}: no rows are written as {suffix!r}; it must be one of {', '.join(WRITERS)}, each also gzipped "
            f"(.gz)",
            ChangeArgument("output"),
        )
    try:
        content = WRITERS[suffix](rows)
    except ValueError as error:
        raise DataError(f"{path}: {error}", ChangeArgument("output")) from None
    return gzip.compress(content, mtime=0) if zipped else content


def json_line(number: int, row: JsonObject) -> str:
    """A row as a line of JSON. Raises DataError for what JSON cannot hold."""
    try:
        return _as_json(number, row)
    except ValueError as error:
        raise DataError(str(error)) from None


def _jsonl(rows: Sequence[JsonObject]) -> bytes:
    return "".join(f"{_as_json(number, row)}\n" for number, row in enumerate(rows, 1)).encode()


def _as_json(number: int, row: JsonObject) -> str:
    """A row in one line. What a table has for a cell without a number (NaN) is null; times are texts."""
    for key, value in row.items():
        try:
            json.dumps(value, allow_nan=False, default=_plain)
        except (TypeError, ValueError, RecursionError):
            if not (isinstance(value, float) and math.isnan(value)):
                raise ValueError(f"row {number}: {key} is {shown(value)}, which JSON cannot hold") from None
            row = {**row, key: None}
    text = json.dumps(row, ensure_ascii=False, default=_plain)
    return text if _is_text(text) else json.dumps(row, default=_plain)


def _plain(value: object) -> str:
    match value:
        case date() | time() | Decimal():
            return str(value)
    raise TypeError(f"no JSON for {value!r}")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _csv(rows: Sequence[JsonObject]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(_table(rows))
    return _utf8(out.getvalue())


def _tsv(rows: Sequence[JsonObject]) -> bytes:
    lines = []
    for number, cells in enumerate(_table(rows)):
        for cell in cells:
            if {"\t", "\n", "\r"} & set(cell):
                raise ValueError(
                    f"row {number}: {shown(cell)} has a tab or a line break, which tsv cannot hold"
                )
        lines.append("\t".join(cells) + "\n")
    return _utf8("".join(lines))


def _table(rows: Sequence[JsonObject]) -> list[list[str]]:
    """The header, and the cells of each row; "" where it lacks a column."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(number, key, row.get(key)) for key in header] for number, row in enumerate(rows, 1)]
    return [header, *cells]


def _cell(number: int, key: str, value: object) -> str:
    """A text as it is, and anything else as JSON spells it."""
    match value:
        case None:
            return ""
        case str():
            return value
        case date() | time() | Decimal():
            return str(value)
        case float() if not math.isfinite(value):
            return "" if math.isnan(value) else str(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(
            f"row {number}: {key} is {shown(value)}, which a table of texts cannot hold"
        ) from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a surrogate pair, which is no UTF-8") from None


def _parquet(rows: Sequence[JsonObject]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    try:
        header = dict.fromkeys(key for row in rows for key in row)
        parquet.write_table(pa.table({key: [row.get(key) for row in rows] for key in header}), out)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"a column of these rows has no type that parquet knows: {reason_of(error)}"
        ) from None
    return out.getvalue()


WRITERS: dict[str, Writer] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
