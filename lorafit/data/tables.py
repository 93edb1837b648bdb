"""Files of rows with named columns: TSV, CSV, JSON lines and parquet. A broken row is known by its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lorafit.data.sources import read_lines
from lorafit.errors import NotFoundError, did_you_mean

Item = TypeVar("Item")
_SHOWN_FAULTS = 5
_SHOWN_LINES = 12

TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Row:
    """A row of a file: `line` counts from 1; `fault` says what is wrong where there are no fields."""

    line: int
    fields: dict[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Column:
    """A column by its name and the other names that files give it."""

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = True

    def find(self, header: Sequence[str]) -> str | None:
        """Its name in a file's header."""
        return next((name for name in (self.name, *self.aliases) if name in header), None)


def read_table(path: Path, columns: Sequence[Column], bare_header: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a file, by its suffix; fields go by the columns' own names. Fields nobody asked for are left out.

    `bare_header` names the fields of a TSV file that has no header line (CoLA's).
    Raises NotFoundError for a file that cannot be read or is empty, and for a missing column.
    """
    readers: dict[str, Callable[[], Iterator[Row]]] = {
        ".tsv": lambda: _read_tsv(path, columns, bare_header),
        ".csv": lambda: _read_csv(path, columns),
        ".jsonl": lambda: _read_json_lines(path, columns),
        ".json": lambda: _read_json_lines(path, columns),
        ".parquet": lambda: _read_parquet(path, columns),
    }
    if path.suffix not in readers:
        raise NotFoundError(f"{path}: unknown kind of file {path.suffix!r}; one of {', '.join(readers)}")
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    return readers[path.suffix]()


def convert_rows(
    where: str,
    rows: Iterator[Row],
    convert: Callable[[dict[str, Any]], Item],
    *,
    skip: bool,
    tell: Callable[[str], None],
) -> list[Item]:
    """Every row through `convert`, which raises ValueError for what it cannot use.

    Raises NotFoundError with the lines of the bad rows; with `skip` they are left out, and `tell` is told how many.
    """
    items: list[Item] = []
    faults: list[tuple[int, str]] = []
    for row in rows:
        try:
            if row.fault:
                raise ValueError(row.fault)
            items.append(convert(row.fields))
        except ValueError as error:
            faults.append((row.line, str(error)))
    if faults and not skip:
        raise NotFoundError(_faults_message(where, faults))
    if not items:
        raise NotFoundError(f"{where}: not one usable row ({len(faults)} malformed)")
    if faults:
        many = "row was" if len(faults) == 1 else "rows were"
        tell(f"{where}: {len(faults)} malformed {many} skipped ({_lines(faults)}); {len(items):,} are left")
    return items


def _faults_message(where: str, faults: list[tuple[int, str]]) -> str:
    shown = [f"{where}:{line}: {what}" for line, what in faults[:_SHOWN_FAULTS]]
    if more := faults[_SHOWN_FAULTS:]:
        shown.append(f"{where}: {len(more)} more malformed rows ({_lines(more)})")
    return "\n".join(shown) + "\nmend the file, or leave such rows out with --set data.on_bad_row=skip"


def _lines(faults: list[tuple[int, str]]) -> str:
    numbers = [str(line) for line, _ in faults[:_SHOWN_LINES]]
    more = ", …" if len(faults) > _SHOWN_LINES else ""
    return f"line{'s' if len(faults) > 1 else ''} {', '.join(numbers)}{more}"


def _names(path: Path, header: Sequence[str], columns: Sequence[Column]) -> dict[str, str]:
    """Name in the file -> the column's own name. Raises NotFoundError for a column that is not there."""
    found = {column.name: column.find(header) for column in columns}
    for column in columns:
        if found[column.name] is None and column.required:
            also = f" (or {', '.join(map(repr, column.aliases))})" if column.aliases else ""
            raise NotFoundError(
                f"{path}:1: no column {column.name!r}{also}{did_you_mean(column.name, header)}; "
                f"it has {', '.join(header)}"
            )
    return {there: name for name, there in found.items() if there is not None}


def _read_tsv(path: Path, columns: Sequence[Column], bare_header: Sequence[str]) -> Iterator[Row]:
    """Fields between tabs, quotes being ordinary characters (as GLUE's own readers have it)."""
    lines = read_lines(path)
    first = lines[0].removeprefix("\ufeff").split("\t")
    is_bare = bool(bare_header) and not any(column.find(first) for column in columns)
    header, start = (list(bare_header), 0) if is_bare else (first, 1)
    names = _names(path, header, columns)
    if len(lines) == start:
        raise NotFoundError(f"{path}: has a header and no rows")
    for number, line in enumerate(lines[start:], start=start + 1):
        fields = line.split("\t")
        if number == 1:
            fields[0] = fields[0].removeprefix("\ufeff")
        if len(fields) != len(header):
            fault = f"{len(fields)} fields between tabs, expected {len(header)} ({', '.join(header)})"
            yield Row(number, {}, fault)
            continue
        by_name = dict(zip(header, fields, strict=True))
        yield Row(number, {name: by_name[there] for there, name in names.items()})


def _read_csv(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    lines = read_lines(path)
    lines[0] = lines[0].removeprefix("\ufeff")
    reader = csv.DictReader([line + "\n" for line in lines], strict=True)
    names = _names(path, reader.fieldnames or [], columns)
    try:
        for fields in reader:
            if None in fields or None in fields.values():
                yield Row(
                    reader.line_num, {}, f"not {len(reader.fieldnames or [])} fields, as the header has"
                )
            else:
                yield Row(reader.line_num, {name: fields[there] for there, name in names.items()})
    except csv.Error as error:
        raise NotFoundError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _read_json_lines(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            yield Row(number, {}, f"not valid JSON: {error.msg}")
            continue
        if not isinstance(fields, dict):
            yield Row(number, {}, "not a JSON object")
            continue
        found = {column.name: column.find(list(fields)) for column in columns}
        missing = [c.name for c in columns if c.required and found[c.name] is None]
        if missing:
            hint = did_you_mean(missing[0], fields)
            yield Row(number, {}, f"no key {missing[0]!r}{hint}; it has {', '.join(fields)}")
            continue
        yield Row(number, {name: fields[there] for name, there in found.items() if there is not None})


def _read_parquet(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise NotFoundError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from None
    names = _names(path, table.column_names, columns)
    if table.num_rows == 0:
        raise NotFoundError(f"{path}: is empty")
    for number, fields in enumerate(table.select(list(names)).to_pylist(), start=1):
        yield Row(number, {name: fields[there] for there, name in names.items()})
