"""`lorafit repro`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.options import Json, Overrides, Unset, all_overrides
from lorafit.cli.parsing import parse_names, parse_seeds, parse_table
from lorafit.cli.stopping import stoppable

if TYPE_CHECKING:
    from lorafit.display import Display
    from lorafit.paper.repro import Job, Outcome


def repro(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="table2, table3, table13, table14 or table18.", show_default=False
        ),
    ],
    rows: Annotated[
        str | None,
        typer.Option(
            help="Only these rows (or parts of their names), separated by commas.", show_default=False
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Only these tasks, separated by commas.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Such as 0,1,2.", show_default="as many as the paper has"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, as processes.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny random bases and data: tests the way, not the figures.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show runs, steps, parameters and hours, and stop.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the run folders are.", show_default="runs, or runs-quick"),
    ] = None,
    overrides: Overrides = None,
    unset: Unset = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Every run's messages.")] = False,
    json: Json = False,
) -> None:
    """Run a table of the paper: what is finished stays, the rest is run or resumed, and the table shown."""
    from lorafit.display import Display
    from lorafit.display.repro import show_estimates
    from lorafit.paper.estimate import estimate
    from lorafit.paper.quick import QuickTable
    from lorafit.paper.repro import Wanted, plan_jobs

    number = parse_table(table)
    runs_dir = output or Path("runs-quick" if quick else "runs")
    chosen_seeds = parse_seeds("--seeds", seeds) if seeds else ((0,) if quick else ())
    wanted = Wanted(parse_names(rows), parse_names(tasks), chosen_seeds)
    adjust = QuickTable(runs_dir / "quick").overrides if quick else None
    planned = plan_jobs(number, wanted, runs_dir, overrides=all_overrides(overrides, unset), adjust=adjust)
    display = Display(json=json)
    if dry_run:
        show_estimates(display, estimate(planned))
        return
    outcomes = _carry_out(display, planned, jobs, verbose)
    _conclude(display, number, runs_dir, outcomes, quick)


def _carry_out(display: Display, planned: list[Job], num_processes: int, verbose: bool) -> list[Outcome]:
    from lorafit.display.repro import show_job, show_outcome
    from lorafit.paper.parallel import run_in_processes
    from lorafit.paper.repro import run_jobs

    def started(number: int, job: Job) -> None:
        show_job(display, number, len(planned), job)

    report = display.report if verbose else display.report_progress
    outcomes = []
    with display, stoppable() as group:
        ended = (
            run_in_processes(planned, num_processes, started)
            if num_processes > 1
            else run_jobs(planned, report, started, group)
        )
        for outcome in ended:
            show_outcome(display, outcome)
            outcomes.append(outcome)
    return outcomes


def _conclude(display: Display, number: str, runs_dir: Path, outcomes: list[Outcome], quick: bool) -> None:
    """The table, and the exit code of the first run that failed."""
    from lorafit.display.reports import show_table
    from lorafit.display.repro import show_summary
    from lorafit.paper.repro import by_status, first_error
    from lorafit.paper.table import table as build

    show_summary(display, dict(by_status(outcomes)))
    if quick:
        display.print("quick: tiny random bases and a few made-up rows, so the figures below mean nothing\n")
    show_table(display, build(number, runs_dir, include_changed=quick), "rich")
    error = first_error(outcomes)
    if error is not None:
        raise typer.Exit(error.exit_code)
