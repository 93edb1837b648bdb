"""`lorafit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorafit.cli.options import Debug, Json, Overrides, RecipeArgument


def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the resolved recipe, steps and parameter counts, and stop."),
    ] = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a recipe, score the result and leave an adapter folder. A finished run is shown, not repeated.

    `adapter` is the best epoch: that of the least validation loss (of the best headline score for tasks with labels).
    """
    from lorafit.display import Display
    from lorafit.display.training import show_plan, show_seeds, show_train_result
    from lorafit.errors import RecipeError
    from lorafit.workflows.plan import Plan, load_plan
    from lorafit.workflows.seeds import load_plans, parse_seeds, train_seeds
    from lorafit.workflows.train import TrainResult
    from lorafit.workflows.train import train as carry_out
    from lorafit.workflows.work import missing_by_name

    if seed is not None and seeds is not None:
        raise RecipeError("--seed and --seeds exclude each other; keep one")
    chosen = [*(overrides or []), *([f"train.seed={seed}"] if seed is not None else [])]
    plans = load_plans(recipe, chosen, parse_seeds(seeds)) if seeds is not None else {}
    plan = next(iter(plans.values())) if plans else load_plan(recipe, chosen)
    display = Display(json=json, log_every=plan.recipe.train.log_every)
    if dry_run:
        show_plan(display, plan)
        return

    def run(plan: Plan, folder: Path | None) -> TrainResult:
        return carry_out(plan, folder, display.report)

    if plans:
        with display:
            result = train_seeds(plans, output, run, display.report)
        show_seeds(display, result)
        results = list(result.runs.values())
    else:
        with display:
            results = [run(plan, output)]
        show_train_result(display, plan, results[0])
    if any(missing_by_name(plan.recipe.eval.metrics, each.scores) for each in results):
        raise typer.Exit(3)
