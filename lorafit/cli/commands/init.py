"""`lorafit init`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Json
from lorafit.imports import importing


def init(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A file of rows (csv, tsv, json, jsonl, parquet) or of plain text (txt, md), each also gzipped; a "
            "folder with train, valid and test, or with files to train on; or a data set on the hub, owner/name.",
            show_default=False,
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", help="Path or hub id of the base.", show_default="a usual one for the task"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The recipe to write.", show_default="DATA's name.toml"
        ),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask what the columns mean; Enter takes the guess.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at a file of rows and write a recipe for it, with the reason of every line."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.init import show_init
        from lorafit.tasks.guess import take_the_best
        from lorafit.verbs import init as verb

    display, ask = Display(json=json), _ask if interactive else take_the_best
    with nullcontext() if interactive else display:  # which draws where it would ask
        made = verb.init(data, output, base, ask, partial(display.downloading, str(data)))
    show_init(display, made)


def _ask(question: str, options: Sequence[str]) -> str:
    """Until the answer is one of the options."""
    if len(options) == 1:
        return options[0]
    while True:
        answer = typer.prompt(f"{question} ({' | '.join(options)})", default=options[0], err=True)
        if answer in options:
            return str(answer)
        typer.echo(f"{answer!r} is none of them", err=True)
