"""Results of the commands that take an adapter folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from lorafit.display.display import Display
from lorafit.display.format import size
from lorafit.display.scores import show_samples, show_scores

if TYPE_CHECKING:
    from lorafit.workflows.evaluate import EvaluateResult
    from lorafit.workflows.export import ExportResult
    from lorafit.workflows.merge import MergeResult


def show_evaluation(display: Display, result: EvaluateResult) -> None:
    """Scores of a split."""
    if display.json:
        value = {"adapter": str(result.adapter), "split": result.split, "folder": str(result.folder)}
        display.print_json(value | result.scores)
        return
    show_scores(display, result.scores, {})
    show_samples(display, result.samples)
    display.print(f"\npredictions and scores: {escape(str(result.folder))}")


def show_predictions(display: Display, texts: Sequence[tuple[str, str]]) -> None:
    """One line for each context."""
    if display.json:
        display.print_json([{"input": context, "prediction": text} for context, text in texts])
        return
    for _, text in texts:
        sys.stdout.write(text + "\n")


def show_merge(display: Display, result: MergeResult) -> None:
    """Where the merged model is."""
    if display.json:
        display.print_json({"folder": str(result.folder), "bytes": result.num_bytes})
        return
    display.print(f"wrote {escape(str(result.folder))} ({size(result.num_bytes)})")


def show_export(display: Display, result: ExportResult) -> None:
    """Where the exported adapter is."""
    if display.json:
        display.print_json({"folder": str(result.folder), "format": result.format})
        return
    display.print(f"wrote {escape(str(result.folder))} ({result.format} format)")
