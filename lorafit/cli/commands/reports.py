"""Commands that look at finished runs: table, compare, analyze."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lorafit.cli.completion import complete_adapter, complete_run
from lorafit.cli.options import Base, Force, Json, choice
from lorafit.cli.parsing import parse_cell, parse_table
from lorafit.errors import lookup
from lorafit.imports import importing
from lorafit.paper.layout import FORMATS

_FORMATS = ("rich", *FORMATS, "json")

RunsArgument = Annotated[Path, typer.Argument(metavar="RUNS_DIR", help="Where the run folders are.")]


def table(
    number: Annotated[str, typer.Argument(metavar="TABLE", help="2, 3, 13, 14 or 18.", show_default=False)],
    runs_dir: RunsArgument = Path("runs"),
    form: Annotated[str, choice("--format", _FORMATS, "The format of the table.")] = "rich",
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="ROW/TASK", help="Show where the figures of a cell come from.", show_default=False
        ),
    ] = None,
    include_changed: Annotated[
        bool, typer.Option("--include-changed", help="Also count runs whose recipe was changed.")
    ] = False,
    json: Json = False,
) -> None:
    """Put the finished runs into a table of the paper, beside the published figures."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.reports import show_explanation, show_table
        from lorafit.paper.table import explain as explain_cell
        from lorafit.paper.table import table as build

    lookup(dict.fromkeys(_FORMATS), form, "format", where="--format")
    report = build(parse_table(number), runs_dir, include_changed=include_changed)
    display = Display(json=json or form == "json")
    if explain is not None:
        show_explanation(display, explain_cell(report, *parse_cell("--explain", explain)))
        return
    show_table(display, report, form)


def _run(name: str, help: str) -> Any:
    """An argument that is a run."""
    return typer.Argument(metavar=name, help=help, autocompletion=complete_run)


def compare(
    run_a: Annotated[Path, _run("RUN_A", "A run folder, or a predictions file.")],
    run_b: Annotated[Path, _run("RUN_B", "The run to compare it with.")],
    split: Annotated[str | None, typer.Option(help="Which split.", show_default="test, else valid")] = None,
    examples: Annotated[
        int, typer.Option("-n", "--examples", min=0, help="How many differing examples to show.")
    ] = 5,
    samples: Annotated[int, typer.Option(min=100, max=10**6, help="Number of bootstrap samples.")] = 1000,
    json: Json = False,
) -> None:
    """Compare two runs example by example, with a test of significance."""
    with importing():
        from lorafit.display import Display
        from lorafit.display.compare import show_comparison
        from lorafit.verbs import compare as verb

    display = Display(json=json)
    with display.working("comparing"):
        comparison = verb.compare(run_a, run_b, split, samples)
    show_comparison(display, comparison, examples)


def analyze(
    adapters: Annotated[
        list[Path],
        typer.Argument(
            metavar="ADAPTER", help="Adapter folders.", show_default=False, autocompletion=complete_adapter
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the CSV files and figures.")] = Path("analysis"),
    amplification: Annotated[
        bool, typer.Option("--amplification", help="Also measure what each adapter amplifies in its base.")
    ] = False,
    max_directions: Annotated[
        int, typer.Option(min=1, help="The most directions of an adapter to compare.")
    ] = 64,
    base: Base = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare what adapters have learnt: subspaces and amplification, as in the paper's section 7."""
    with importing():
        from lorafit.adapters import BaseChoice
        from lorafit.display import Display
        from lorafit.display.analyze import show_analysis
        from lorafit.verbs import analyze as verb

    chosen = BaseChoice(base, force)
    display = Display(json=json)
    with display.working("analysing"):
        result = verb.analyze(
            adapters, output, chosen, amplification=amplification, max_directions=max_directions
        )
    show_analysis(display, result)
