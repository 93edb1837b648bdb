"""`lorafit data`: fetch, verify, show, cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.command import add_command
from lorafit.cli.options import Json, Overrides, RecipeArgument, Split, Unset, all_overrides
from lorafit.imports import importing

app = typer.Typer(
    no_args_is_help=True,
    help="Download the paper's data files, check them, look at rows, clear what is kept of rows.",
    epilog="LORAFIT_DATA names another folder for them, such as examples/NLG/data of a checkout of microsoft/LoRA; "
    "LORAFIT_DATA_URL names another server to download them from.",
)


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="e2e, dart, webnlg.", show_default="all"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="The folder for them.",
            show_default="where recipes without data.dir look",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Download the original data files, and check the hash of each. Files that exist are not downloaded again."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.data import show_fetched
        from lorafit.verbs import originals

    display = Display(json=json)
    with display:
        files = originals.fetch(names or [], folder, display.downloading)
    show_fetched(display, files)


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="A folder of data files.",
            show_default="where `fetch` puts them",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare the data files of a folder with the hashes of the originals."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.data import show_verified
        from lorafit.verbs import originals

    display = Display(json=json)
    with display.working("hashing"):
        files = originals.verify(folder)
    show_verified(display, files)


def show(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    unset: Unset = None,
    split: Annotated[Split, typer.Option(help="Which split.")] = "train",
    count: Annotated[int, typer.Option("-n", "--count", min=0, help="How many rows.")] = 3,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each row on stdout, the rest on stderr.")
    ] = False,
) -> None:
    """Show rows as the model sees them (text, token ids, which tokens are targets), and lengths over the split."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.data import show_rows
        from lorafit.verbs import inspect as verb

    display = Display(json=json)
    with display.working("reading and encoding rows"):
        shown = verb.show(recipe, all_overrides(overrides, unset), split, count, display.report)
    show_rows(display, shown)


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all of it.")] = False,
    json: Json = False,
) -> None:
    """List the rows and token ids that are kept of large data files, so that the next run starts with them.

    They lie in LORAFIT_CACHE, or in ~/.cache/lorafit, below `prepared`. LORAFIT_CACHE_GB says how many gigabytes they
    may take (50; 0: nothing is kept); what was not used for longest goes first.
    """
    with importing():
        from lorafit import cache as kept
        from lorafit.display import Display
        from lorafit.display.data import show_cache

    entries = kept.clear() if clear else kept.entries()
    show_cache(Display(json=json), kept.prepared_folder(), entries, kept.max_bytes(), cleared=clear)


add_command(app, "fetch", fetch)
add_command(app, "verify", verify)
add_command(app, "show", show)
add_command(app, "cache", cache)
