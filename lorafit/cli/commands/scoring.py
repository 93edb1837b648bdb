"""`lorafit score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Json, choice
from lorafit.imports import importing
from lorafit.metrics.scorers import PROTOCOLS_BY_TASK

_PROTOCOLS = tuple(dict.fromkeys(name for protocols in PROTOCOLS_BY_TASK.values() for name in protocols))


def score(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="A task or preset: generation, classification, regression, e2e, dart, webnlg, cola, ...",
            show_default=False,
        ),
    ],
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="A file of predictions that a run has written; or one with a prediction on each line; or rows (JSON "
            "lines, JSON, csv, tsv, parquet) with --prediction-key.",
            show_default=False,
        ),
    ],
    references: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[REFERENCES]",
            help="One file of groups with blank lines between them, or several with a line for each prediction, or "
            "rows with --reference-key.",
            show_default="those in PREDICTIONS",
        ),
    ] = None,
    prediction_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="What the answers are called in rows.", show_default=False),
    ] = None,
    reference_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="What the right answers are called in rows.", show_default=False),
    ] = None,
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with a label for each prediction, such as seen or unseen.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        choice(
            "--protocol",
            _PROTOCOLS,
            "The scorer: the challenge's own, or the LoRA paper's.",
            "the run's, for a file that a run has written; else official",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be repeated.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Score what any system has answered: texts, labels or scores."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.scoring import show_score
        from lorafit.verbs import score as verb

    options = verb.ScoreOptions(split_file, protocol, metric, prediction_key, reference_key)
    display = Display(json=json)
    with display.working("scoring"):
        result = verb.score(task, predictions, references or [], options)
    show_score(display, result)
    if result.missing:
        raise typer.Exit(3)
