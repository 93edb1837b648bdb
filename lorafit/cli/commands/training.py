"""`lorafit train`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.completion import complete_adapter
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
from lorafit.cli.parsing import parse_length, parse_seeds
from lorafit.cli.stopping import stoppable
from lorafit.errors import NotFoundError, RecipeError
from lorafit.imports import importing
from lorafit.run.options import TrainOptions

if TYPE_CHECKING:
    from lorafit.display import Display
    from lorafit.run.events import Report
    from lorafit.run.plan import Plan
    from lorafit.run.train import TrainResult
    from lorafit.training import ProcessGroup


def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    unset: Unset = None,
    seed: Annotated[
        int | None, typer.Option(help="Short for --set train.seed=N.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...|A..B",
            help="One run for each seed, all on one base, and mean ± std at the end.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run folder; with --seeds, the folder of the runs.",
            show_default="runs/<recipe>/seed-<n>",
        ),
    ] = None,
    resume: ResumeOption = "auto",
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Start from the weights of an adapter; short for --set train.init_from=ADAPTER.",
            metavar="ADAPTER",
            show_default=False,
            autocompletion=complete_adapter,
        ),
    ] = None,
    show_anyway: Annotated[
        bool,
        typer.Option(
            "--show-anyway",
            help="Show the result of a finished run although its data, its base or the adapter that it started from "
            "have changed since.",
        ),
    ] = False,
    extend: Annotated[
        str | None,
        typer.Option(
            help="Make a run longer, finished or not; the learning rate follows the schedule of the new length.",
            metavar="epochs=N|max_steps=N",
            show_default=False,
        ),
    ] = None,
    time_limit: TimeLimit = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show the resolved recipe, steps and parameter counts."),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a recipe, score the result and leave an adapter folder.

    The same command again continues an interrupted run, and shows the result of a finished one; if its data, its base
    or the adapter that it started from have changed since, that is said instead. SIGTERM, SIGINT,
    SIGUSR1 and SIGUSR2 save a checkpoint and end with exit code 75. `adapter` is the best epoch: the one with the
    lowest validation loss (for tasks with labels, the best headline score).
    """
    with importing():
        from lorafit.display import Display
        from lorafit.display.training import show_plan
        from lorafit.run.plan import with_examples
        from lorafit.run.train import missing_by_name

    chosen = all_overrides(overrides, unset)
    chosen += [f"train.init_from={init_from}"] if init_from is not None else []
    chosen += [parse_length("--extend", extend)] if extend is not None else []
    options = TrainOptions(resume, extend is not None, show_anyway)
    with stoppable(time_limit, distributed=True) as group:
        try:
            if not dry_run:
                with Display(json=json, quiet=not group.is_leader, only_result=quiet) as display:
                    report = display.report
                    chosen += group.leader_first(lambda: _pins(recipe, chosen, seed, seeds, output, report))
            plans = group.leader_first(lambda: _plans(recipe, chosen, seed, seeds))
        except NotFoundError as error:
            if dry_run or seeds is not None:
                raise
            display = Display(json=json, quiet=not group.is_leader, only_result=quiet)
            _show_finished(error, recipe, _with_seed(chosen, seed), output, options, display)
            return
        plan = next(iter(plans.values()))
        log_every = plan.recipe.train.log_every
        display = Display(json=json, log_every=log_every, quiet=not group.is_leader, only_result=quiet)
        if dry_run:
            show_plan(display, with_examples(plan))
            return
        if seeds is not None:
            results = _train_seeds(plans, output, options, display, group)
        else:
            results = [_train_one(plan, output, options, display, group)]
        missing = any(missing_by_name(plan.recipe.eval.metrics, each.scores) for each in results)
        if group.on_leader(lambda: missing):
            raise typer.Exit(3)


def _train_one(
    plan: Plan, output: Path | None, options: TrainOptions, display: Display, group: ProcessGroup
) -> TrainResult:
    """One run, with its page."""
    with importing():
        from lorafit.display.training import show_train_result
        from lorafit.page.live import drawing
        from lorafit.run.files.folder import RunFolder
        from lorafit.run.train import train as train_plan

    pages = drawing(RunFolder.of(plan.recipe, output).path, display.report)
    with display, pages if group.is_leader else nullcontext(display.report) as report:
        result = train_plan(plan, output, report, options, group)
    show_train_result(display, plan.recipe, result, use_adapter(result.adapter, plan.task.kind))
    return result


def _train_seeds(
    plans: Mapping[int, Plan],
    output: Path | None,
    options: TrainOptions,
    display: Display,
    group: ProcessGroup,
) -> list[TrainResult]:
    """A run for each seed, with their pages and one of all."""
    with importing():
        from lorafit.display.training import show_seeds
        from lorafit.page.live import draw_several, drawing_members
        from lorafit.page.run import PAGE
        from lorafit.sweep.family import FamilyOptions
        from lorafit.sweep.seeds import seed_jobs, train_seeds

    folders = {job.name: job.run.path for job in seed_jobs(plans, output)}
    with display, drawing_members(folders, display.report) as report:
        of_seeds = train_seeds(plans, output, FamilyOptions(options), report, group)
    results = list(of_seeds.runs.values())
    page = results[0].run.parent / PAGE
    if group.is_leader:
        draw_several([each.run for each in results], page, display.report)
    kind = of_seeds.plan.task.kind
    show_seeds(display, of_seeds, page, use_adapter(results[0].adapter, kind))
    return results


def _show_finished(
    error: NotFoundError,
    recipe: str,
    overrides: list[str],
    output: Path | None,
    options: TrainOptions,
    display: Display,
) -> None:
    """The result of a finished run, although its base or data are not here. Raises `error` where there is none."""
    with importing():
        from lorafit.display.training import show_train_result
        from lorafit.run.recipes import open_recipe
        from lorafit.run.train import finished_without

    wanted = open_recipe(recipe, overrides)
    result = finished_without(error, wanted, output, options, display.report)
    show_train_result(display, wanted, result, use_adapter(result.adapter, wanted.task.kind))


def _pins(
    recipe: str,
    overrides: list[str],
    seed: int | None,
    seeds: str | None,
    output: Path | None,
    report: Report,
) -> list[str]:
    """What pins the data on the hub. A dry run fetches nothing, and so it has none."""
    with importing():
        from lorafit.run.pins import pins

    several = parse_seeds("--seeds", seeds) if seeds is not None else ()
    return pins(recipe, _with_seed(overrides, seed), output, report, several)


def _plans(recipe: str, overrides: list[str], seed: int | None, seeds: str | None) -> dict[int, Plan]:
    """A plan for every seed that was asked for."""
    with importing():
        from lorafit.run.plan import load_plan
        from lorafit.sweep.seeds import load_plans

    if seed is not None and seeds is not None:
        raise RecipeError("--seed and --seeds exclude each other; keep one")
    if seeds is not None:
        return load_plans(recipe, overrides, parse_seeds("--seeds", seeds))
    plan = load_plan(recipe, _with_seed(overrides, seed))
    return {plan.recipe.train.seed: plan}


def _with_seed(overrides: list[str], seed: int | None) -> list[str]:
    return [*overrides, *([f"train.seed={seed}"] if seed is not None else [])]
