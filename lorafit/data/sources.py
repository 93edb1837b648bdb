"""Where rows come from: files, a share of a split, the hub. Nothing is read before rows are asked for."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import math
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from lorafit.data.cells import shown
from lorafit.data.readers import Reader, reader_for
from lorafit.data.readers.jsonl import JsonLines
from lorafit.data.rows import RawRow
from lorafit.errors import DataError, NotFoundError, Remedy
from lorafit.hashes import file_hash, joint_hash

_GZIP_MARK = b"\x1f\x8b"


@dataclass(frozen=True)
class RowFile:
    """Rows that lie in one place: a file, or a split on the hub.

    `where` names it in a message, `unit` says what a row's number counts; with `has_header` all rows have the same
    columns.
    """

    where: str
    rows: Iterator[RawRow]
    unit: tuple[str, str] = ("line", "lines")
    has_header: bool = False

    def place(self, number: int) -> str:
        """`a.csv:7:` where the number is a line's, else `a.parquet: row 7,`."""
        unit = self.unit[0]
        return f"{self.where}:{number}:" if unit == "line" else f"{self.where}: {unit} {number},"

    def of_part(self, part: str) -> RowFile:
        """The same rows, all of one part of the split."""
        return replace(self, rows=(replace(row, part=part) for row in self.rows)) if part else self


class RowSource(Protocol):
    """The rows of one split."""

    def open(self) -> Iterator[RowFile]:
        """The files of the split, in order. Raises NotFoundError for one that is not there."""
        ...

    def hashes(self) -> dict[str, str]:
        """The sha256 of each file by its name, whatever of it are rows of the split. Raises as `open`."""
        ...

    def identity(self) -> str:
        """A sha256 over what the rows come from: of a single file, that of its bytes. Raises as `open`."""
        ...

    def at_hand(self) -> bool:
        """Whether the rows can be read now, without network."""
        ...


@dataclass(frozen=True)
class FileFormat:
    """How files are read: a reader's name (None: by the file's suffix), and the columns of tables without header."""

    name: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """Rows of local files, one after the other; the rows of each belong to a part of the split, mostly ""."""

    paths: Mapping[Path, str]  # path -> part
    format: FileFormat = FileFormat()

    def open(self) -> Iterator[RowFile]:
        """Each file with its reader."""
        for path, part in self.paths.items():
            reader = reader_for(path, self.format.name, self.format.columns)
            yield RowFile(str(path), _read(path, reader), reader.unit, reader.has_header).of_part(part)

    def hashes(self) -> dict[str, str]:
        """Of the bytes, as they are on the disk."""
        return {str(path): _file_hash(path) for path in self.paths}

    def identity(self) -> str:
        """sha256 of the file, or over the hashes of the files."""
        hashes = list(self.hashes().values())
        return hashes[0] if len(hashes) == 1 else joint_hash(hashes)

    def at_hand(self) -> bool:
        return all(path.is_file() for path in self.paths)


@dataclass(frozen=True)
class Piped:
    """Rows that another program hands over, as JSON lines."""

    content: bytes
    where: str = "standard input"

    def open(self) -> Iterator[RowFile]:
        """The one file that they are."""
        yield RowFile(self.where, JsonLines().read(io.BytesIO(self.content), self.where))

    def hashes(self) -> dict[str, str]:
        return {self.where: self.identity()}

    def identity(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def at_hand(self) -> bool:
        return True


@dataclass(frozen=True)
class Missing:
    """Rows that are not where they should be: who asks for them gets this error."""

    what: str
    remedies: tuple[Remedy, ...] = ()

    def open(self) -> Iterator[RowFile]:
        raise NotFoundError(self.what, *self.remedies)

    def hashes(self) -> dict[str, str]:
        raise NotFoundError(self.what, *self.remedies)

    def identity(self) -> str:
        raise NotFoundError(self.what, *self.remedies)

    def at_hand(self) -> bool:
        return False


@dataclass(frozen=True)
class Share:
    """Those rows of a split whose key hashes to [low, high) of [0, 1); another `seed` is another hash.

    Rows with one key are never torn apart, and rows that come later move no other. A row without key, since it is
    malformed, is at 1, so that only one share has it.
    """

    whole: RowSource
    low: float
    high: float
    key: Callable[[RawRow], str]
    seed: int = 0

    def open(self) -> Iterator[RowFile]:
        """The files of the whole, with fewer rows."""
        for file in self.whole.open():
            yield replace(file, rows=(row for row in file.rows if self._has(row)))

    def hashes(self) -> dict[str, str]:
        """Those of the whole."""
        return self.whole.hashes()

    def identity(self) -> str:
        """Over the hash of the whole and the share."""
        whole, seed = self.whole.identity(), f" {self.seed}" if self.seed else ""
        return hashlib.sha256(f"{whole} {self.low!r} {self.high!r}{seed}".encode()).hexdigest()

    def at_hand(self) -> bool:
        return self.whole.at_hand()

    def _has(self, row: RawRow) -> bool:
        return self.low <= share_place(row, self.key, self.seed) < self.high


def shares(
    whole: RowSource, sizes: Sequence[float], key: Callable[[RawRow], str], seed: int = 0
) -> list[Share]:
    """Shares of these sizes, and the rest of the split behind them."""
    bounds = [0.0, *itertools.accumulate(sizes), math.inf]
    return [Share(whole, low, high, key, seed) for low, high in itertools.pairwise(bounds)]


@dataclass(frozen=True)
class Renamed:
    """Rows in which columns go by other names: `names` maps the name in a file to the one that is meant."""

    source: RowSource
    names: Mapping[str, str]

    def open(self) -> Iterator[RowFile]:
        """The same files."""
        for file in self.source.open():
            yield replace(file, rows=(self.row(row) for row in file.rows))

    def hashes(self) -> dict[str, str]:
        return self.source.hashes()

    def identity(self) -> str:
        """What is renamed stands in the recipe, so it is no part of this."""
        return self.source.identity()

    def at_hand(self) -> bool:
        return self.source.at_hand()

    def row(self, row: RawRow) -> RawRow:
        """A row with the names that are meant."""
        fields: dict[str, object] = {}
        for name, value in row.fields.items():
            meant = self.names.get(name, name)
            if not _equal(fields.setdefault(meant, value), value):
                first = next(key for key in row.fields if self.names.get(key, key) == meant)
                said = f"{first} is {shown(row.fields[first])} and {name} is {shown(value)}"
                return replace(row, fields={}, fault=f"{said}, and both are names of {meant}")
        return replace(row, fields=fields)


def _equal(one: object, other: object) -> bool:
    """Whether two cells are the same, of the same type: true is not 1."""
    try:
        return one is other or (type(one) is type(other) and one == other)
    except RecursionError:
        return False


def share_place(row: RawRow, key: Callable[[RawRow], str], seed: int = 0) -> float:
    """A number from 0 to below 1 that depends on key and seed alone; 1 where there is no key."""
    if row.fault:
        return 1.0
    try:
        text = f"{seed}\x1f{key(row)}" if seed else key(row)
    except ValueError:
        return 1.0
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _read(path: Path, reader: Reader) -> Iterator[RawRow]:
    """The rows of a file, unzipped if it is gzipped. Raises NotFoundError or DataError where it cannot be read."""
    with readable(path), path.open("rb") as stream:
        if not is_gzipped(stream):
            yield from reader.read(stream, str(path))
            return
        with tempfile.TemporaryFile() as unzipped, gzip.open(stream) as zipped:
            shutil.copyfileobj(zipped, unzipped)
            unzipped.seek(0)
            yield from reader.read(unzipped, str(path))


def is_gzipped(stream: BinaryIO) -> bool:
    """Whether a file is gzipped, by its first bytes, to which the stream is set back."""
    mark = stream.read(len(_GZIP_MARK))
    stream.seek(0)
    return mark == _GZIP_MARK


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """While a file is read: NotFoundError where it cannot be opened, DataError where it cannot be unzipped."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: not a readable gzip file: {error}") from None
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None


def _file_hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
