"""The code blocks of a Markdown file, as the tests of the documents need them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = "```"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line on which it begins, the heading and the paragraph above it.

    `mark` is the comment right before it: `<!-- needs network -->` -> "needs network".
    """

    language: str
    text: str
    line: int
    heading: str
    before: str
    mark: str


def blocks(path: Path) -> list[Block]:
    """Every fenced block, in order."""
    found = []
    heading = before = mark = ""
    lines = iter(enumerate(path.read_text(encoding="utf-8").split("\n"), start=1))
    for number, line in lines:
        if line.startswith(_FENCE):
            text = []
            for _, inner in lines:
                if inner.startswith(_FENCE):
                    break
                text.append(inner)
            block = "".join(f"{each}\n" for each in text)
            found.append(Block(line.removeprefix(_FENCE), block, number, heading, before, mark))
            before = mark = ""
        elif comment := re.fullmatch(r"<!-- (.+) -->", line):
            mark = comment[1]
        elif line.startswith("#"):
            heading, before, mark = line.lstrip("# "), "", ""
        elif line.strip():
            before = line
    return found
