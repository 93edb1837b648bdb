"""What a reader of a file format is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.rows import RawRow


@dataclass(frozen=True)
class Reader(ABC):
    """A file format. `columns` names the columns of a table without a header line."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[tuple[str, str]] = ("line", "lines")  # what a row's number counts
    has_keys: ClassVar[bool] = True  # whether a file says what its values are called
    has_header: ClassVar[bool] = False  # whether all rows have the same columns

    columns: tuple[str, ...] = ()

    @abstractmethod
    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """The rows of a file, in order; one that is malformed says so in its `fault`.

        `where` is the file in a message. Raises DataError for a file that is not of this format.
        """

    def count(self, stream: BinaryIO) -> int | None:
        """How many rows a file has, where it says so itself: then `read` takes of it only the rows that are asked for.

        Raises DataError for a file that is not of this format.
        """
        del stream
        return None
