"""`lorafit score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Json, choice
from lorafit.metrics.scorers import PROTOCOLS_BY_TASK

_PROTOCOLS = tuple(dict.fromkeys(name for protocols in PROTOCOLS_BY_TASK.values() for name in protocols))


def score(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help=f"{', '.join(PROTOCOLS_BY_TASK)}.", show_default=False)
    ],
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS", help="A file with a prediction on each line.", show_default=False
        ),
    ],
    references: Annotated[
        list[Path],
        typer.Argument(
            metavar="REFERENCES",
            help="One file of groups with blank lines between them, or several with a line for each prediction.",
            show_default=False,
        ),
    ],
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with a label for each prediction, such as seen or unseen.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        str, choice("--protocol", _PROTOCOLS, "The scorer: the challenge's own, or the LoRA paper's.")
    ] = "official",
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be repeated.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Score texts that any system has written."""
    from lorafit.display import Display
    from lorafit.display.scoring import show_score
    from lorafit.verbs import score as verb

    result = verb.score(task, predictions, references, split_file, protocol, metric)
    show_score(Display(json=json), result)
    if result.missing:
        raise typer.Exit(3)
