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
    if seeds is not None:
        _train_seeds(recipe, overrides or [], seed, seeds, output, dry_run, json)
        return
    from lorafit.display import Display
    from lorafit.display.training import show_plan, show_train_result
    from lorafit.workflows.plan import load_plan
    from lorafit.workflows.train import train as carry_out
    from lorafit.workflows.work import missing_by_name

    chosen = [*(overrides or []), *([f"train.seed={seed}"] if seed is not None else [])]
    plan = load_plan(recipe, chosen)
    display = Display(json=json, log_every=plan.recipe.train.log_every)
    if dry_run:
        show_plan(display, plan)
        return
    with display:
        result = carry_out(plan, output, display.report)
    show_train_result(display, plan, result)
    if missing_by_name(plan.recipe.eval.metrics, result.scores):
        raise typer.Exit(3)


def _train_seeds(
    recipe: str,
    overrides: list[str],
    seed: int | None,
    seeds: str,
    output: Path | None,
    dry_run: bool,
    json: bool,
) -> None:
    """`lorafit train --seeds`."""
    from lorafit.display import Display
    from lorafit.display.training import show_plan, show_seeds
    from lorafit.errors import RecipeError
    from lorafit.workflows.seeds import load_plans, parse_seeds, train_seeds

    if seed is not None:
        raise RecipeError("--seed and --seeds exclude each other; keep one")
    plans = load_plans(recipe, overrides, parse_seeds(seeds))
    first = next(iter(plans.values()))
    display = Display(json=json, log_every=first.recipe.train.log_every)
    if dry_run:
        show_plan(display, first)
        return
    with display:
        result = train_seeds(plans, output, display.report)
    show_seeds(display, result)
