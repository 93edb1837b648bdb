"""Predictions of a test split as gluebenchmark.com takes them."""

from __future__ import annotations

from collections.abc import Sequence

from lorafit.data.rows import Label, Row, single
from lorafit.errors import DropArgument, RecipeError
from lorafit.tasks.base import Task
from lorafit.tasks.presets import Submission


def submission_files(
    submission: Submission, task: Task, rows: Sequence[Row], predictions: Sequence[Label]
) -> dict[str, str]:
    """File name -> content: lines of `index<tab>prediction` for each part of the split.

    Raises RecipeError for a task of two parts whose rows are not of these parts.
    """
    files = {}
    for part, name in submission.files.items():
        chosen = [p for row, p in zip(rows, predictions, strict=True) if row.part == part]
        if not chosen:
            raise RecipeError(
                f"there are no {part} rows to submit; a submission needs the whole test split of {task.name}",
                DropArgument("data"),
            )
        lines = [f"{i}\t{_submitted(submission, task, label)}" for i, label in enumerate(chosen)]
        files[name] = "\n".join(["index\tprediction", *lines]) + "\n"
    return files


def _submitted(submission: Submission, task: Task, label: Label) -> str:
    if submission.range is not None:
        low, high = submission.range
        return f"{min(max(single(label), low), high):.3f}"
    return str(task.label_text(label)) if submission.names else str(int(single(label)))
