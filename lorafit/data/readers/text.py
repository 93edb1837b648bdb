"""Plain text, cut at blank lines into passages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader, read_text
from lorafit.data.rows import RawRow

GOES_ON = "goes_on"  # column of a passage that does not end its text
_PASSAGE = 4000  # characters of a passage, at least: some two pages


@dataclass(frozen=True)
class PlainText(Reader):
    """Plain text: each passage is a row with the column "text".

    A passage ends at the first blank line behind 4,000 characters, so that a share of a file can be held out and the
    rest is learned in any order.
    """

    name: ClassVar[str] = "text"
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".md")

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a passage; its line is the one on which it begins."""
        column = self.columns[0] if self.columns else "text"
        passage: list[str] = []
        size, first = 0, 1
        for number, line in enumerate(read_text(stream, where).split("\n"), start=1):
            if not line.strip() and size >= _PASSAGE:
                yield RawRow(first, {column: "\n".join(passage), GOES_ON: True})
                passage, size = [], 0
            elif passage or line.strip():
                first = first if passage else number
                passage.append(line)
                size += len(line) + 1
        if passage:
            yield RawRow(first, {column: "\n".join(passage)})
