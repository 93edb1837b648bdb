"""E2E NLG challenge (Novikova et al. 2017) in the layout of the paper's repository: lines of `slots||text`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader
from lorafit.data.readers.text import Line, read_lines
from lorafit.data.rows import RawRow


@dataclass(frozen=True)
class E2E(Reader):
    """The paper's E2E files, `name : Alimentum | area : city centre||There is a place … `: fields `prompt` and
    `completion`, stripped."""

    name: ClassVar[str] = "e2e"

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a line (paper's format_converting_e2e.py)."""
        return map(_row, read_lines(stream, where))


def _row(line: Line) -> RawRow:
    number, parts = line.number, [part.strip() for part in line.text.split("||")]
    if line.fault:
        return RawRow(number, {}, line.fault)
    if len(parts) != 2:
        found = f"found {len(parts) - 1} of them"
        return RawRow(number, {}, f"expected 'slot : value | …||sentence' with one '||', {found}")
    if not all(parts):
        return RawRow(number, {}, f"the part {'before' if not parts[0] else 'after'} '||' is empty")
    return RawRow(number, {"prompt": parts[0], "completion": parts[1]})
