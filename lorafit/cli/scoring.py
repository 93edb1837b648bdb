"""`lorafit score`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Debug, Json


class ProtocolName(StrEnum):
    """Whose way of scoring."""

    official = "official"
    paper = "paper"


def score(
    task: Annotated[str, typer.Argument(help="e2e, dart or webnlg.", show_default=False)],
    predictions: Annotated[Path, typer.Argument(help="One prediction per line.", show_default=False)],
    references: Annotated[
        list[Path],
        typer.Argument(
            help="One file of blank-line-separated groups, or several with a line per prediction (empty: missing).",
            show_default=False,
        ),
    ],
    split_file: Annotated[
        Path | None, typer.Option(help="A label such as seen or unseen for each line.", show_default=False)
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="The challenge's own scorer, or the LoRA paper's.")
    ] = ProtocolName.official,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric; may be given often.", show_default=False)
    ] = None,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Score any system's output, without a model."""
    from lorafit.display import Display
    from lorafit.display.scoring import show_score
    from lorafit.verbs.score import score as carry_out

    result = carry_out(task, predictions, references, split_file, protocol.value, metric)
    show_score(Display(json=json), result)
    if result.missing:
        raise typer.Exit(3)
