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
    output: Annotated[
        Path | None,
        typer.Option(help="The run folder. [default: runs/<recipe>/seed-<n>]", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the resolved recipe, steps and parameter counts, and stop."),
    ] = False,
    json: Json = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train a recipe, score the result and leave an adapter folder. A finished run is shown, not repeated."""
    from lorafit.display import Display
    from lorafit.display.training import show_plan, show_train_result
    from lorafit.workflows.plan import load_plan
    from lorafit.workflows.train import train as carry_out

    chosen = [*(overrides or []), *([f"train.seed={seed}"] if seed is not None else [])]
    plan = load_plan(recipe, chosen)
    display = Display(json=json, log_every=plan.recipe.train.log_every)
    if dry_run:
        show_plan(display, plan)
        return
    with display:
        result = carry_out(plan, output, display.report)
    show_train_result(display, plan, result)
