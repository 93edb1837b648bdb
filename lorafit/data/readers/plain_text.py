"""Plain text, cut at blank lines into passages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.text import Line, read_lines
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
    has_keys: ClassVar[bool] = False

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a passage; its line is the one on which it begins."""
        passage: list[Line] = []
        size = 0
        for line in read_lines(stream, where):
            if not line.text.strip() and size >= _PASSAGE:
                yield self._row(passage, goes_on=True)
                passage, size = [], 0
            elif passage or line.text.strip():
                passage.append(line)
                size += len(line.text) + 1
        if passage:
            yield self._row(passage, goes_on=False)

    def _row(self, passage: Sequence[Line], *, goes_on: bool) -> RawRow:
        """A row, or the first line of the passage that has a fault."""
        if faulty := next((line for line in passage if line.fault), None):
            return RawRow(faulty.number, {}, faulty.fault)
        column = self.columns[0] if self.columns else "text"
        text = "\n".join(line.text for line in passage)
        return RawRow(passage[0].number, {column: text, **({GOES_ON: True} if goes_on else {})})
