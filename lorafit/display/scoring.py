"""Scores of texts that any system has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.format import number

if TYPE_CHECKING:
    from lorafit.verbs.score import ScoreResult


def show_score(display: Display, result: ScoreResult) -> None:
    """A column for each part, then signatures, and what is missing."""
    scores = result.scores
    if display.json:
        display.print_json(scores.to_json())
    else:
        table = Table("score", *scores.parts, box=None, header_style="bold")
        for name in scores.all:
            table.add_row(name, *(number(figures.get(name)) for figures in scores.parts.values()))
        display.print(table)
        display.print()
        for name, signature in scores.signatures.items():
            display.print(f"{name}: {escape(signature)}", style="dim")
        for note in scores.notes:
            display.print(f"note: {escape(note)}")
    for name, reason in scores.reasons.items():
        display.print(f"{name}: not computed: {escape(reason)}")
