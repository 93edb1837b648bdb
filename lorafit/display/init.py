"""A new recipe for a file of rows."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.markup import escape

from lorafit.display.data import show_row
from lorafit.display.display import Display

if TYPE_CHECKING:
    from lorafit.verbs.init import InitResult


def show_init(display: Display, result: InitResult) -> None:
    """The recipe, rows as the model will see them, what else could be meant, and the next command."""
    if display.json:
        display.print_json(
            {
                "recipe": str(result.path),
                "task": result.recipe.task.model_dump(mode="json", exclude_none=True),
                "reasons": dict(result.guess.reasons),
                "doubts": list(result.guess.doubts),
                "num_rows": result.sample.num_rows,
                "counted": result.sample.whole,
                "cut": result.num_cut,
                "malformed": result.num_malformed,
            }
        )
        return
    display.print(escape(result.text))
    for number, row in enumerate(result.preview.rows, start=1):
        show_row(display, number, row)
    if not result.preview.tokenizer:
        base = escape(result.recipe.model.base)
        display.print(
            f"{base} is not here yet, so rows cannot be shown as it reads them: lengths are estimated"
        )
    if result.num_malformed:
        display.print(
            f"{result.num_malformed:,} of the first {len(result.sample.rows):,} rows are malformed, such as line "
            f"{escape(result.first_fault)}; training stops at such rows unless data.on_bad_row is skip"
        )
    for doubt in result.guess.doubts:
        display.print(f"could also be meant: {escape(doubt)}")
    command = shlex.join(["lorafit", "train", str(result.path)])
    display.print(f"wrote {escape(str(result.path))}; next: {escape(command)}")
