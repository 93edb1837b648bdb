"""The first rows of files, however large these are, or of a data set on the hub."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafit.data.hub import CachedSet
from lorafit.data.readers import reader_for
from lorafit.data.rows import RawRow
from lorafit.data.sources import is_gzipped, readable
from lorafit.errors import DataError

_NUM_BYTES = 4 << 20
_NUM_ROWS = 2000


@dataclass(frozen=True)
class Sample:
    """Rows from the beginning of files. `num_rows` of all of them: counted where `whole`, else estimated."""

    rows: list[RawRow]
    whole: bool
    num_rows: int


def sample_rows(paths: Sequence[Path]) -> Sample:
    """At most 2,000 rows, malformed ones among them, out of the first 4 MiB of each file.

    Raises NotFoundError for a file that cannot be read, DataError for one that holds no rows.
    """
    found: list[Sample] = []
    for path in paths:
        if sum(len(each.rows) for each in found) >= _NUM_ROWS:
            break
        found.append(_of_file(path))
    rows = [row for each in found for row in each.rows]
    sizes = [path.stat().st_size for path in paths]
    num_rows = round(sum(each.num_rows for each in found) * sum(sizes) / sum(sizes[: len(found)]))
    is_whole = len(found) == len(paths) and len(rows) <= _NUM_ROWS and all(each.whole for each in found)
    return Sample(rows[:_NUM_ROWS], is_whole, num_rows)


def _of_file(path: Path) -> Sample:
    reader = reader_for(path)
    with readable(path), path.open("rb") as stream:
        zipped = is_gzipped(stream)
        if not zipped and (count := reader.count(stream)) is not None:
            return _sample(list(itertools.islice(reader.read(stream, str(path)), _NUM_ROWS)), count)
        content = gzip.GzipFile(fileobj=stream) if zipped else stream
        head = content.read(_NUM_BYTES)
        if not content.read(1):
            rows = list(reader.read(io.BytesIO(head), str(path)))
            return _sample(rows, len(rows))
        share = stream.tell() / path.stat().st_size
        rows = _until_torn(reader.read(io.BytesIO(_whole_lines(head)), str(path)))
    return Sample(rows[:_NUM_ROWS], whole=False, num_rows=round(len(rows) / share))


def hub_sample(found: CachedSet, split: str) -> Sample:
    """At most 2,000 rows of a split of a data set on the hub."""
    rows = found.rows(split, names_of_classes=True)
    return _sample(list(itertools.islice(rows, _NUM_ROWS)), found.splits[split])


def _sample(rows: list[RawRow], num_rows: int) -> Sample:
    return Sample(rows[:_NUM_ROWS], whole=num_rows <= _NUM_ROWS, num_rows=num_rows)


def _whole_lines(head: bytes) -> bytes:
    """The beginning of a file without the line, or the element of a JSON array, that is torn apart at its end."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        return head[: head.rfind(b"}") + 1] + b"]"
    return head[: head.rfind(b"\n") + 1]


def _until_torn(found: Iterator[RawRow]) -> list[RawRow]:
    """All rows but the last one, of which the end may be missing. Raises DataError where there is none."""
    rows: list[RawRow] = []
    try:
        rows.extend(found)  # which keeps what came before an error
    except DataError:
        if len(rows) < 2:
            raise
    return rows[:-1] if len(rows) > 1 else rows
