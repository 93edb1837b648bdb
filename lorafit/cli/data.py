"""`lorafit data`: fetch, verify, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.adapters import SplitName
from lorafit.cli.options import Debug, Json, Overrides, RecipeArgument, Unset, all_overrides

app = typer.Typer(
    no_args_is_help=True,
    help="Get the paper's data files, check them, look at rows.",
    epilog="LORAFIT_DATA is another folder to keep them in, such as examples/NLG/data of a checkout of microsoft/LoRA; "
    "LORAFIT_DATA_URL another server to fetch them from.",
)


@app.command("fetch")
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="e2e, dart, webnlg. [default: all]", show_default=False),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Where to. [default: where recipes without data.dir look]", show_default=False
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Download the original data files, each checked by its hash. What is there already is left alone."""
    from lorafit.display import Display
    from lorafit.display.data import show_fetched
    from lorafit.verbs.inspect import fetch as carry_out

    display = Display(json=json)
    with display:
        files = carry_out(names or [], folder, display.report)
    show_fetched(display, files)


@app.command("verify")
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="A folder of data files. [default: where `fetch` puts them]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Compare the data files of a folder with the originals' hashes."""
    from lorafit.display import Display
    from lorafit.display.data import show_verified
    from lorafit.verbs.inspect import verify as carry_out

    show_verified(Display(json=json), carry_out(folder))


@app.command("show")
def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    unset: Unset = None,
    split: Annotated[SplitName, typer.Option(help="Which split.")] = SplitName.train,
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="How many rows.")] = 3,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a row on stdout, the rest on stderr.")
    ] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show rows as the model sees them: text, token ids, which tokens are targets; and lengths over the split."""
    from lorafit.display import Display
    from lorafit.display.data import show_rows
    from lorafit.verbs.inspect import show as carry_out

    show_rows(Display(json=json), carry_out(recipe, all_overrides(overrides, unset), split.value, count))
