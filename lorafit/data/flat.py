"""Many records, or many numbers, in flat files: what does not fit into memory as Python objects."""

from __future__ import annotations

import itertools
import mmap
import os
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, overload

_WAITING = 1 << 16  # numbers that are written together
_READ_BYTES = 1 << 20  # of records that are read together

Code = Literal["i", "q"]
"""Integers of 4 or of 8 bytes, as Python's `array` calls them."""


class NumberWriter:
    """Writes integers to a file, one after the other."""

    def __init__(self, path: Path, code: Code) -> None:
        self._stream = path.open("wb")
        self._waiting = array(code)

    def extend(self, numbers: Sequence[int]) -> None:
        """Raises OverflowError for one that takes more bytes."""
        self._waiting.extend(numbers)
        if len(self._waiting) >= _WAITING:
            self._write()

    def close(self) -> None:
        self._write()
        self._stream.close()

    def _write(self) -> None:
        self._stream.write(self._waiting.tobytes())
        del self._waiting[:]


def read_numbers(path: Path, code: Code) -> Sequence[int]:
    """The integers of a file, which is mapped into memory and closed."""
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return array(code)
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)).cast(code)


class RecordWriter:
    """Writes records to `<name>.bytes`, and where each ends to `<name>.ends`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._stream = (folder / f"{name}.bytes").open("wb")
        self._ends = NumberWriter(folder / f"{name}.ends", "q")
        self._end = 0

    def extend(self, records: Sequence[bytes]) -> None:
        self._stream.writelines(records)
        ends = list(itertools.accumulate(map(len, records), initial=self._end))
        self._ends.extend(ends[1:])
        self._end = ends[-1]

    def close(self) -> None:
        self._ends.close()
        self._stream.close()


class Records(Sequence[bytes]):
    """The records of a RecordWriter. They are read one by one from the open file and not mapped: the pages of a map
    count as memory of the process, and in random order all of them are touched soon."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ends = read_numbers(folder / f"{name}.ends", "q")
        self._file = os.open(folder / f"{name}.bytes", os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        match index:
            case slice():
                return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]
        start = self._ends[place - 1] if place else 0
        return self._bytes(start, self._ends[place])

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain.from_iterable(self.blocks(len(self)))

    def blocks(self, most: int) -> Iterator[list[bytes]]:
        """All records in order, at most so many at a time, and fewer where they are long."""
        first, begin = 0, 0
        while first < len(self):
            last, end = first, begin
            while last < len(self) and last - first < most and end - begin < _READ_BYTES:
                end, last = self._ends[last], last + 1
            content = self._bytes(begin, end)
            places = [begin, *self._ends[first:last]]
            yield [content[a - begin : b - begin] for a, b in itertools.pairwise(places)]
            first, begin = last, end

    def _bytes(self, start: int, end: int) -> bytes:
        content = os.pread(self._file, end - start, start)
        if len(content) < end - start:
            content = b"".join(self._pieces(content, start, end))
        return content

    def _pieces(self, content: bytes, start: int, end: int) -> Iterator[bytes]:
        """A call reads no more than 2 GiB. Raises OSError where the file ends before."""
        while content:
            yield content
            start += len(content)
            content = os.pread(self._file, end - start, start)
        if start < end:
            raise OSError("a file of records ends before the last one")
