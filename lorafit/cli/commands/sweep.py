"""`lorafit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lorafit.cli.next_step import use_adapter
from lorafit.cli.options import (
    Json,
    Overrides,
    Quiet,
    RecipeArgument,
    ResumeOption,
    TimeLimit,
    Unset,
    all_overrides,
)
from lorafit.cli.parsing import parse_seeds
from lorafit.cli.stopping import stoppable
from lorafit.errors import DivergedError, RecipeError
from lorafit.imports import importing
from lorafit.run.options import TrainOptions

if TYPE_CHECKING:
    from lorafit.sweep.sweep import SweepPlan, SweepResult


def sweep(
    recipe: RecipeArgument,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION.KEY=VALUE,VALUE,...",
            help="Values of a key of the recipe; may be repeated: there is a run for every combination.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...|A..B", help="Every combination once for each seed.", show_default="the recipe's"
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="How many runs are trained together at once; the results do not depend on it.",
            show_default="as many as memory has room for",
        ),
    ] = None,
    apply: Annotated[
        Literal["best"] | None,
        typer.Option(help="Train the recipe of the best setting on all training rows.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder of the runs and of the answer.", show_default="runs/<recipe>-sweep"),
    ] = None,
    overrides: Overrides = None,
    unset: Unset = None,
    resume: ResumeOption = "auto",
    time_limit: TimeLimit = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the runs, their steps, and what trains together.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a grid of settings on one base, together, and say which is best.

    Every run is the one that `lorafit train` would make, and leaves the same folder; all share the base, and in one
    step it reads examples of several. A run that diverges ends alone. The same command again continues what is not
    finished. Without --grid, the recipe's section `sweep` says what varies.
    """
    with importing():
        from lorafit.display import Display
        from lorafit.display.sweep import show_sweep, show_sweep_plan
        from lorafit.page.live import draw_several, drawing_members, drawn
        from lorafit.page.one import write_run_page
        from lorafit.page.run import PAGE
        from lorafit.run.pins import pins
        from lorafit.sweep.family import FamilyOptions
        from lorafit.sweep.grid import parse_axis
        from lorafit.sweep.sweep import Axes, first_member, plan_sweep, run_sweep

    keys = [parse_axis(text) for text in grid or ()]
    if len(dict(keys)) < len(keys):
        raise RecipeError("--grid names a key twice; give all of its values at once")
    chosen = all_overrides(overrides, unset)
    axes = Axes(dict(keys), parse_seeds("--seeds", seeds) if seeds else ())
    with stoppable(time_limit, distributed=True) as group:
        if not dry_run:
            with Display(json=json, quiet=not group.is_leader, only_result=quiet) as display:
                of_first = group.leader_first(lambda: first_member(recipe, chosen, axes, output))
                chosen += group.leader_first(lambda: pins(recipe, *of_first, display.report))
        plan = group.leader_first(lambda: plan_sweep(recipe, chosen, axes, output))
        log_every = plan.jobs[0].plan.recipe.train.log_every
        display = Display(json=json, log_every=log_every, quiet=not group.is_leader, only_result=quiet)
        if dry_run:
            show_sweep_plan(display, plan)
            return
        options = FamilyOptions(TrainOptions(resume), members)
        folders = {job.name: job.run.path for job in plan.jobs}
        page = plan.output / PAGE
        with display, drawing_members(folders, display.report) as report:
            result = run_sweep(plan, options, report, group, apply_best=apply == "best")
        if group.is_leader:
            if result.applied is not None:
                applied = result.applied.run
                drawn(lambda: write_run_page(applied), applied / PAGE, display.report)
            draw_several([plan.output], page, display.report)
        show_sweep(display, result, page, _next(plan, result))
        if result.answer.best is None:
            raise DivergedError(f"{plan.output}: {result.answer.sentence()}")


def _next(plan: SweepPlan, result: SweepResult) -> str:
    """What answers with the best run, or with the one on all rows; "" where every run diverged."""
    if result.answer.best is None:
        return ""
    best = plan.jobs[result.answer.best]
    adapter = best.run.adapter if result.applied is None else result.applied.adapter
    return use_adapter(adapter, best.plan.task.kind)
