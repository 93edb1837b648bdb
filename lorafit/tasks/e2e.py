"""E2E NLG challenge (Novikova et al. 2017) in the layout of the paper's repository: lines of `slots||text`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorafit.data.originals import ORIGINALS
from lorafit.data.rows import TextRow
from lorafit.data.sources import read_lines
from lorafit.errors import NotFoundError
from lorafit.metrics.scorers import SCORERS
from lorafit.tasks.base import GenerationTask


@dataclass(frozen=True, kw_only=True)
class E2E(GenerationTask):
    """`name : Alimentum | area : city centre||There is a place … ` -> context and completion, stripped."""

    def read_file(self, path: Path) -> list[TextRow]:
        """One pair per line (paper's format_converting_e2e.py)."""
        return [_pair(path, number, line) for number, line in enumerate(read_lines(path), start=1)]


def _pair(path: Path, number: int, line: str) -> TextRow:
    parts = line.split("||")
    if len(parts) != 2:
        raise NotFoundError(
            f"{path}:{number}: expected 'slot : value | …||sentence' with one '||', found {len(parts) - 1} of them"
        )
    context, completion = (part.strip() for part in parts)
    if not context or not completion:
        raise NotFoundError(f"{path}:{number}: the part {'before' if not context else 'after'} '||' is empty")
    return TextRow(context, completion)


E2E_TASK = E2E(
    name="e2e",
    headline="bleu",
    original=ORIGINALS["e2e"],
    scorer=SCORERS["e2e-metrics"],
    num_train_rows=42_061,
)
