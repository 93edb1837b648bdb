"""`lorafit repro`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.options import Debug, Json, Overrides, Unset, all_overrides

if TYPE_CHECKING:
    from lorafit.display import Display
    from lorafit.paper.jobs import Job
    from lorafit.paper.repro import Outcome


def repro(
    table: Annotated[
        str, typer.Argument(help="table2, table3, table13, table14 or table18.", show_default=False)
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
        typer.Option(help="Such as 0,1,2. [default: as many as the paper has]", show_default=False),
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
        typer.Option(help="Where the run folders are. [default: runs, or runs-quick]", show_default=False),
    ] = None,
    overrides: Overrides = None,
    unset: Unset = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Every run's messages.")] = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Run a table of the paper: what is finished stays, the rest is run or resumed, and the table shown."""
    from lorafit.display import Display
    from lorafit.display.repro import show_estimates
    from lorafit.paper.jobs import Selection, plan_jobs

    number = table.lower().removeprefix("table").strip()
    runs_dir = output or Path("runs-quick" if quick else "runs")
    selection = Selection(_parts(rows), _parts(tasks), _seeds(seeds) or ((0,) if quick else ()))
    inputs = None
    if quick:
        from lorafit.paper.quick import QuickInputs

        inputs = QuickInputs(runs_dir / "quick").overrides
    planned = plan_jobs(number, selection, runs_dir, overrides=all_overrides(overrides, unset), inputs=inputs)
    display = Display(json=json)
    if dry_run:
        from lorafit.paper.estimate import estimate

        show_estimates(display, estimate(planned))
        return
    outcomes = _run(display, planned, jobs, verbose)
    _conclude(display, number, runs_dir, outcomes, quick)


def train_command(job: Job) -> list[str]:
    """The command that trains a job."""
    settings = [argument for setting in job.settings() for argument in ("--set", setting)]
    return [sys.executable, "-m", "lorafit", "train", job.recipe, "--output", str(job.output), *settings]


def _run(display: Display, planned: list[Job], num_slots: int, verbose: bool) -> list[Outcome]:
    from lorafit.display.repro import show_runs
    from lorafit.paper.repro import run_jobs
    from lorafit.run.stop import StopRequest

    with display, StopRequest() as stop:
        events = run_jobs(planned, train_command, num_slots, stop)
        return show_runs(display, events, len(planned), verbose=verbose)


def _conclude(display: Display, number: str, runs_dir: Path, outcomes: list[Outcome], quick: bool) -> None:
    """The table, and the exit code of the first run that failed."""
    from lorafit.display.reports import show_table
    from lorafit.display.repro import show_summary
    from lorafit.paper.table import table as build

    show_summary(display, outcomes)
    if quick:
        display.print("quick: tiny random bases and a few made-up rows, so the figures below mean nothing\n")
    show_table(display, build(number, runs_dir, include_changed=quick), "rich")
    if failed := [outcome.exit_code for outcome in outcomes if outcome.exit_code]:
        raise typer.Exit(failed[0])


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _seeds(text: str | None) -> tuple[int, ...]:
    from lorafit.errors import RecipeError

    try:
        return tuple(int(part) for part in _parts(text))
    except ValueError:
        raise RecipeError(f"--seeds {text}: must read 0,1,2") from None
