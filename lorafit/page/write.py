"""Which page is meant: of one run, of several, or a table of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorafit.errors import Advice, ChangeArgument, RecipeError
from lorafit.page.one import write_run_page
from lorafit.page.several import write_several
from lorafit.page.table import write_table_page
from lorafit.paper.table import table as build
from lorafit.run.files.paths import RunPaths

DEFAULT = Path("report.html")
_BEGINNING = b"<!doctype html>"


def write_page(runs: Sequence[Path], output: Path | None) -> Path:
    """Write the page of a run, by default into its folder, or of several runs, folders of runs and sweeps.

    Returns where it is. Raises NotFoundError for a place without a run, DataError for files that are not what a run
    leaves, RecipeError for an output that is something else.
    """
    _check_output(output)
    if len(runs) == 1 and RunPaths(runs[0]).recipe.is_file():
        return write_run_page(runs[0], output)
    return write_several(runs, output or DEFAULT)


def write_paper_page(
    table: str, runs: Sequence[Path], output: Path | None, *, include_changed: bool = False
) -> Path:
    """Write the page of a table of the paper ("2", "3", …) with the finished runs of one folder in it.

    Returns where it is. Raises RecipeError for several folders, for a table that there is not, and for an output that
    is something else, NotFoundError for a folder that is not there, DataError for a run that cannot be read.
    """
    _check_output(output)
    if len(runs) != 1:
        raise RecipeError(
            f"a table has the runs of one folder, and {len(runs)} are named",
            Advice("name one folder that holds them"),
        )
    note = "Runs whose recipe was changed are counted, too." if include_changed else ""
    return write_table_page(build(table, runs[0], include_changed=include_changed), output or DEFAULT, note)


def _check_output(output: Path | None) -> None:
    """A page is written over a page alone."""
    if output is None or not output.exists():
        return
    if output.is_dir():
        raise RecipeError(f"{output}: is a folder, and a page is a file", ChangeArgument("output"))
    with output.open("rb") as stream:
        if stream.read(len(_BEGINNING)).lower() != _BEGINNING:
            raise RecipeError(f"{output}: already exists and is no page", ChangeArgument("output"))
