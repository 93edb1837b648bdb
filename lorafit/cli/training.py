"""`lorafit train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafit.cli.options import Debug, Json, Overrides, RecipeArgument, Unset, all_overrides

if TYPE_CHECKING:
    from lorafit.run.plan import Plan


class Resume(StrEnum):
    """`--resume`."""

    auto = "auto"
    must = "must"
    never = "never"


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
            metavar="N,N,...", help="One run after the other, and mean ± std at the end.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The run folder; with --seeds, the folder of the runs. [default: runs/<recipe>/seed-<n>]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Resume,
        typer.Option(
            help="What to do with an unfinished run: go on (auto), go on or fail (must), start over (never)."
        ),
    ] = Resume.auto,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="Start from the weights of an adapter; short for --set train.init_from=ADAPTER.",
            metavar="ADAPTER",
            show_default=False,
        ),
    ] = None,
    extend: Annotated[
        str | None,
        typer.Option(
            help="Make a run longer, finished or not; the learning rate is planned anew for the new length.",
            metavar="epochs=N|max_steps=N",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            help="Stop in time to save before so much time has passed, such as 90s, 15m, 1.5h or 1:30:00. "
            "Inside a Slurm job its end is known.",
            metavar="TIME",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the resolved recipe, steps and parameter counts, and stop."),
    ] = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a recipe, score the result and leave an adapter folder.

    The same command again goes on where a run was cut off, and shows the result of a finished one. SIGTERM, SIGINT,
    SIGUSR1 and SIGUSR2 save a checkpoint and end with exit code 75. `adapter` is the best epoch: that of the least
    validation loss (of the best headline score for tasks with labels).
    """
    from lorafit.display import Display
    from lorafit.display.training import show_plan, show_seeds, show_train_result
    from lorafit.run.seeds import train_seeds
    from lorafit.run.stop import StopRequest, parse_duration, process_age_s
    from lorafit.run.train import TrainOptions, TrainResult, missing_by_name
    from lorafit.run.train import train as train_plan
    from lorafit.training import open_process_group

    chosen = all_overrides(overrides, unset)
    chosen += [f"train.init_from={init_from}"] if init_from is not None else []
    chosen += [_longer(extend)] if extend is not None else []
    limit_s = parse_duration(time_limit) - process_age_s() if time_limit is not None else None
    options = TrainOptions(resume.value, extend is not None)
    with StopRequest(limit_s) as stop, open_process_group(stop) as group:
        plans = group.leader_first(lambda: _plans(recipe, chosen, seed, seeds))
        plan = next(iter(plans.values()))
        display = Display(json=json, log_every=plan.recipe.train.log_every, quiet=not group.is_leader)
        if dry_run:
            show_plan(display, plan)
            return

        def run(plan: Plan, folder: Path | None) -> TrainResult:
            return train_plan(plan, folder, display.report, options, group)

        if seeds is not None:
            with display:
                result = train_seeds(plans, output, run, display.report)
            show_seeds(display, result)
            results = list(result.runs.values())
        else:
            with display:
                results = [run(plan, output)]
            show_train_result(display, plan, results[0])
        missing = any(missing_by_name(plan.recipe.eval.metrics, each.scores) for each in results)
        if group.on_leader(lambda: missing):
            raise typer.Exit(3)


def _plans(recipe: str, overrides: list[str], seed: int | None, seeds: str | None) -> dict[int, Plan]:
    """A plan for every seed that was asked for."""
    from lorafit.errors import RecipeError
    from lorafit.run.plan import load_plan
    from lorafit.run.seeds import load_plans, parse_seeds

    if seed is not None and seeds is not None:
        raise RecipeError("--seed and --seeds exclude each other; keep one")
    if seeds is not None:
        return load_plans(recipe, overrides, parse_seeds(seeds))
    plan = load_plan(recipe, [*overrides, *([f"train.seed={seed}"] if seed is not None else [])])
    return {plan.recipe.train.seed: plan}


def _longer(extend: str) -> str:
    """'epochs=40' -> 'train.epochs=40'."""
    from lorafit.errors import RecipeError

    if extend.partition("=")[0].strip() not in ("epochs", "max_steps"):
        raise RecipeError(f"--extend {extend}: must read epochs=N or max_steps=N")
    return f"train.{extend.strip()}"
