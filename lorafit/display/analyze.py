"""Section 7 of the paper for the user's own adapters."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.files import JsonObject

if TYPE_CHECKING:
    from lorafit.verbs.analyze import AnalyzeResult


def show_analysis(display: Display, result: AnalyzeResult) -> None:
    """The corners of every similarity grid, the median amplification, and the files with the rest."""
    if display.json:
        display.print_json(_json(result))
        return
    if result.pairs:
        table = Table("A", "B", "top directions", "all directions", "modules", box=None, header_style="bold")
        for pair in result.pairs:
            first, every = pair.mean[0, 0], pair.mean[-1, -1]
            table.add_row(
                escape(str(pair.a)),
                escape(str(pair.b)),
                f"{first:.3f}",
                f"{every:.3f}",
                str(len(pair.modules)),
            )
        display.print("subspace similarity, mean over modules (1: the same, 0: orthogonal)\n")
        display.print_wide(table)
    for folder, modules in result.amplified.items():
        factors = [found.factor for found in modules.values()]
        display.print(
            f"\n{escape(str(folder))}: amplification factor {statistics.median(factors):.2f} "
            f"(median of {len(factors)} matrices, {min(factors):.2f} to {max(factors):.2f})"
        )
    for file in result.files:
        display.print(f"wrote {escape(str(file))}")
    if result.note:
        display.print(escape(result.note))


def _json(result: AnalyzeResult) -> JsonObject:
    return {
        "similarity": [
            {
                "a": str(pair.a),
                "b": str(pair.b),
                "mean": pair.mean.tolist(),
                "modules": {name: grid.tolist() for name, grid in pair.modules.items()},
            }
            for pair in result.pairs
        ],
        "amplification": {
            str(folder): {
                name: vars(found) | {"factor": found.factor if found.through_delta else None}
                for name, found in modules.items()
            }
            for folder, modules in result.amplified.items()
        },
        "files": [str(file) for file in result.files],
        "note": result.note,
    }
