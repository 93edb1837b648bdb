"""The `lorafit` command."""

from __future__ import annotations

from typing import Annotated

import typer

from lorafit.cli import adapters, conversion, data, fetching, recipes, reports, repro, scoring, training

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Fine-tune with LoRA, and get the LoRA paper's numbers again.",
    epilog="Exit codes: 0 done, 2 usage or recipe, 3 data or model not found, 4 out of memory, 5 diverged, "
    "6 bad adapter, 75 interrupted and resumable.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from lorafit import __version__

        typer.echo(f"lorafit {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("train")(training.train)
app.command("eval")(adapters.evaluate)
app.command("predict")(adapters.predict)
app.command("score")(scoring.score)
app.command("verify")(adapters.verify)
app.command("merge")(conversion.merge)
app.command("export")(conversion.export)
app.command("import")(conversion.import_adapter)
app.command("recipes")(recipes.recipes)
app.add_typer(recipes.app, name="recipe")
app.command("fetch")(fetching.fetch)
app.add_typer(data.app, name="data")
app.command("table")(reports.table)
app.command("compare")(reports.compare)
app.command("analyze")(reports.analyze)
app.command("repro")(repro.repro)
