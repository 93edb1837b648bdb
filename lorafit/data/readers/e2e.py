"""E2E NLG challenge (Novikova et al. 2017) in the layout of the paper's repository: lines of `slots||text`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

from lorafit.data.readers.base import Reader, read_text
from lorafit.data.rows import RawRow


@dataclass(frozen=True)
class E2E(Reader):
    """The paper's E2E files, `name : Alimentum | area : city centre||There is a place … `: fields `prompt` and
    `completion`, stripped."""

    name: ClassVar[str] = "e2e"

    def read(self, stream: BinaryIO, where: str) -> Iterator[RawRow]:
        """One row a line (paper's format_converting_e2e.py)."""
        for number, line in enumerate(read_text(stream, where).split("\n"), start=1):
            yield _row(number, line)


def _row(number: int, line: str) -> RawRow:
    parts = [part.strip() for part in line.split("||")]
    if len(parts) != 2:
        found = f"found {len(parts) - 1} of them"
        return RawRow(number, {}, f"expected 'slot : value | …||sentence' with one '||', {found}")
    if not all(parts):
        return RawRow(number, {}, f"the part {'before' if not parts[0] else 'after'} '||' is empty")
    return RawRow(number, {"prompt": parts[0], "completion": parts[1]})
