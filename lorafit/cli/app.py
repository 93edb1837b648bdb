"""The `lorafit` command."""

from __future__ import annotations

from typing import Annotated

import typer

from lorafit.cli import adapters, conversion, data, init, prefetch, recipes, reports, repro, scoring, training
from lorafit.cli.command import add_command

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Fine-tune with LoRA, and get the LoRA paper's numbers again.",
    epilog="Exit codes: 0 done, 2 usage or recipe, 3 data or model missing or malformed, 4 out of memory, 5 diverged, "
    "6 bad adapter, 75 interrupted and resumable.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from lorafit.version import __version__

        typer.echo(f"lorafit {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for _name, _command in (
    ("init", init.init),
    ("train", training.train),
    ("eval", adapters.evaluate),
    ("predict", adapters.predict),
    ("score", scoring.score),
    ("verify", adapters.verify),
    ("merge", conversion.merge),
    ("export", conversion.export),
    ("combine", conversion.combine),
    ("import", conversion.import_adapter),
    ("recipes", recipes.recipes),
    ("fetch", prefetch.fetch),
    ("table", reports.table),
    ("compare", reports.compare),
    ("analyze", reports.analyze),
    ("repro", repro.repro),
):
    add_command(app, _name, _command)
app.add_typer(recipes.app, name="recipe")
app.add_typer(data.app, name="data")
