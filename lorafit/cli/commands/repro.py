"""`lorafit repro`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.command import advise
from lorafit.cli.options import Json, Overrides, Unset, all_overrides
from lorafit.cli.parsing import parse_names, parse_seeds, parse_table
from lorafit.cli.stopping import stoppable
from lorafit.errors import InterruptedRunError
from lorafit.imports import importing

if TYPE_CHECKING:
    from lorafit.display import Display
    from lorafit.paper.estimate import Estimate
    from lorafit.paper.jobs import Job
    from lorafit.paper.repro import Outcome
    from lorafit.training import ProcessGroup


def repro(
    ctx: typer.Context,
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="table2, table3, table13, table14 or table18.", show_default=False
        ),
    ],
    rows: Annotated[
        str | None,
        typer.Option(
            help="Only rows with these words in their names, separated by commas.", show_default=False
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Only these tasks, separated by commas.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Such as 0,1,2.", show_default="as many as the paper has"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="How many runs at a time.")] = 1,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Tiny random bases and made-up rows: every step, in minutes, for figures that mean nothing.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show runs, steps, parameters and hours.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run folders.", show_default="runs, or runs-quick"),
    ] = None,
    show_anyway: Annotated[
        bool,
        typer.Option(
            "--show-anyway",
            help="Take finished runs although their data, their base or what they started from have changed since.",
        ),
    ] = False,
    overrides: Overrides = None,
    unset: Unset = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show everything that the runs write.")] = False,
    json: Json = False,
) -> None:
    """Run a table of the paper, and show it with our figures.

    Finished runs stay as they are, interrupted ones are resumed. SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 make every run
    save a checkpoint and end with exit code 75. What a run writes is in a log beside its folder.
    """
    with importing():
        from lorafit.display import Display
        from lorafit.display.repro import show_estimates

    with stoppable(distributed=True) as group:
        number = parse_table(table)
        runs_dir = output or Path("runs-quick" if quick else "runs")
        chosen_seeds = parse_seeds("--seeds", seeds) if seeds else ((0,) if quick else ())
        selection = (parse_names(rows), parse_names(tasks), chosen_seeds)
        chosen = all_overrides(overrides, unset)
        planned = group.leader_first(lambda: _plan(number, selection, runs_dir, chosen, quick=quick))
        display = Display(json=json, quiet=not group.is_leader)
        if dry_run:
            group.on_leader(lambda: show_estimates(display, _estimate(planned)))
            return
        outcomes = _run(ctx, display, planned, jobs, group, verbose=verbose, show_anyway=show_anyway)
        group.on_leader(lambda: _conclude(display, number, runs_dir, outcomes, quick))


def _plan(
    number: str,
    selection: tuple[Sequence[str], Sequence[str], Sequence[int]],
    runs_dir: Path,
    overrides: list[str],
    *,
    quick: bool,
) -> list[Job]:
    """All runs that were asked for."""
    with importing():
        from lorafit.paper.jobs import Selection, plan_jobs
        from lorafit.paper.quick import QuickInputs

    inputs = QuickInputs(runs_dir / "quick").overrides if quick else None
    return plan_jobs(number, Selection(*selection), runs_dir, overrides=overrides, inputs=inputs)


def _estimate(planned: list[Job]) -> list[Estimate]:
    with importing():
        from lorafit.paper.estimate import estimate

    return estimate(planned)


def train_command(jobs: Sequence[Job]) -> list[str]:
    """The command that trains a job, or several that differ in the seed alone."""
    first = jobs[0]
    settings, where, seeds = first.settings(), first.output, list[str]()
    if len(jobs) > 1:
        settings, where = first.shared_settings(), first.output.parent
        seeds = ["--seeds", ",".join(str(job.seed) for job in jobs)]
    assigned = [argument for setting in settings for argument in ("--set", setting)]
    return [sys.executable, "-m", "lorafit", "train", first.recipe, "--output", str(where), *seeds, *assigned]


def _run(
    ctx: typer.Context,
    display: Display,
    planned: list[Job],
    num_slots: int,
    group: ProcessGroup,
    *,
    verbose: bool,
    show_anyway: bool,
) -> list[Outcome]:
    """How every run ended; several processes share them out, and the leader tells how those of the others ended."""
    with importing():
        from lorafit.display.repro import show_outcome, show_runs
        from lorafit.paper.jobs import share
        from lorafit.paper.repro import run_jobs
        from lorafit.training.distributed import Rank

    if group.size > 1:
        display.print(f"{group.size} processes share {len(planned)} runs, and each makes its own")
    place, mine = Rank.of_environment(), share(planned, group.rank, group.size)
    started = run_jobs(
        mine,
        train_command,
        num_slots,
        group.stop,
        show_anyway=show_anyway,
        local_rank=place.local_rank if place else None,
    )
    outcomes: list[Outcome] = []
    interruption = None
    try:
        with display, closing(started) as events:
            outcomes = show_runs(display, events, planned, partial(advise, ctx), verbose=verbose)
    except InterruptedRunError as error:
        interruption = error
    of_all = group.all_gather((outcomes, interruption))
    if stopped := next((error for _, error in of_all if error is not None), None):
        raise stopped
    for others, _ in of_all[1:]:
        for outcome in others:
            show_outcome(display, outcome, advise(ctx, outcome.remedies))
    return list(itertools.chain.from_iterable(others for others, _ in of_all))


def _conclude(display: Display, number: str, runs_dir: Path, outcomes: list[Outcome], quick: bool) -> None:
    """The table, and the exit code of the first run that failed."""
    with importing():
        from lorafit.display.reports import show_table
        from lorafit.display.repro import show_summary
        from lorafit.page.live import drawn
        from lorafit.page.table import write_table_page
        from lorafit.paper.table import table as build

    show_summary(display, outcomes)
    if quick:
        display.print("quick: tiny random bases and a few made-up rows, so the figures below mean nothing\n")
    failed = {outcome.job.output: outcome.error for outcome in outcomes if outcome.status == "failed"}
    report = build(number, runs_dir, include_changed=quick, left_out=failed)
    show_table(display, report, "rich")
    page = runs_dir / f"table{number}.html"
    note = "Tiny random bases and a few made-up rows: these figures mean nothing." if quick else ""
    if drawn(lambda: write_table_page(report, page, note), page, display.report) is not None:
        display.print(f"\npage: {page}", markup=False)
    if codes := [outcome.exit_code for outcome in outcomes if outcome.exit_code]:
        raise typer.Exit(codes[0])
