"""The plan of a run, and its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.display.scores import show_samples, show_scores
from lorafit.files import JsonObject
from lorafit.format import number, ranges
from lorafit.metrics.score import flat
from lorafit.page.run import PAGE
from lorafit.recipe import Recipe, to_toml

if TYPE_CHECKING:
    from lorafit.run.plan import Plan
    from lorafit.run.train import TrainResult
    from lorafit.sweep.seeds import SeedsResult


_MOST_SEEDS = 8  # that have a column each


def show_plan(display: Display, plan: Plan) -> None:
    """The resolved recipe, parameters by module, steps and notes."""
    notes = [*plan.notes, *plan.warnings, *plan.example_notes]
    if display.json:
        display.print_json({**_plan_json(plan), "notes": notes})
        return
    display.print(escape(to_toml(plan.recipe)))
    table = Table("parameters", "count", "shape", "values", "trained", box=None, header_style="bold")
    for group in plan.parameters:
        shape = "x".join(map(str, group.shape))
        table.add_row(
            group.name, str(group.count), shape, f"{group.num_values:,}", "yes" if group.trained else ""
        )
    display.print(table)
    head = f" + {plan.num_head:,} of the head" if plan.num_head else ""
    dropped = f" + {plan.num_dropped:,} that only training needs" if plan.num_dropped else ""
    display.print(f"\ntrainable parameters: {plan.num_trained:,}{head}{dropped} (base: {plan.num_total:,})")
    source = "in the training data" if plan.rows_known else "of the original data, which are not here"
    weighted = plan.rows_per_epoch != plan.num_train_rows
    in_epoch = f", {plan.rows_per_epoch:,} in an epoch by data.weights" if weighted else ""
    display.print(f"training rows: {plan.num_train_rows:,} ({source}){in_epoch}")
    schedule = plan.schedule
    about = "" if plan.steps_known else "about "
    why = (
        ""
        if plan.steps_known
        else "; they depend on lengths in tokens, and are estimated without the tokenizer"
    )
    display.print(
        f"optimizer steps: {about}{schedule.num_steps:,}, {schedule.num_warmup:,} of them warm-up{why}"
    )
    for note in notes:
        display.print(escape(note))


def show_train_result(display: Display, recipe: Recipe, result: TrainResult, command: str) -> None:
    """Scores beside the paper's, a few predictions, the folders, and the command that uses the adapter."""
    if display.json:
        display.print_json(_run_json(result))
        return
    if result.already_finished:
        display.print(f"{escape(str(result.run))}: this run is finished already; its result:")
    show_scores(display, result.scores, recipe.paper.scores)
    show_samples(display, result.samples)
    display.print(f"\nrun folder: {escape(str(result.run))}\nadapter:    {escape(str(result.adapter))}")
    if (page := result.run / PAGE).is_file():
        display.print(f"page:       {escape(str(page))}")
    display.print(f"next:       {escape(command)}")


def show_seeds(display: Display, result: SeedsResult, page: Path, command: str) -> None:
    """Every run's scores side by side, their mean and standard deviation, and the paper's; the page of all; and the
    command that uses one."""
    if display.json:
        display.print_json(_seeds_json(result))
        return
    scores = [flat(run.scores.get("scores") or {}) for run in result.runs.values()]
    paper, is_few = result.plan.recipe.paper.scores, len(scores) <= _MOST_SEEDS
    columns = [f"seed {seed}" for seed in result.runs] if is_few else ["least", "greatest"]
    table = Table("score", *columns, "mean", *(["paper"] if paper else []), box=None, header_style="bold")
    for name in scores[0]:
        values, spread = [run.get(name) for run in scores], result.spread.get(name)
        known = [value for value in values if value is not None]
        shown = values if is_few else [min(known, default=None), max(known, default=None)]
        mean = "-" if spread is None else number(spread.mean)
        deviation = "" if spread is None or spread.std is None else f" ± {number(spread.std)}"
        figures = [*map(number, shown), mean + deviation, *([number(paper.get(name))] if paper else [])]
        table.add_row(name, *figures)
    display.print()
    display.print(table)
    runs = list(result.runs.values())
    for run in runs if is_few else runs[:1]:
        display.print(f"run folder: {escape(str(run.run))}")
    if not is_few:
        display.print(f"            and beside it those of all seeds: {ranges(result.runs)}")
    if page.is_file():
        display.print(f"page:       {escape(str(page))}")
    display.print(f"next:       {escape(command)}")


def _seeds_json(result: SeedsResult) -> JsonObject:
    return {
        "runs": [_run_json(run) | {"seed": seed} for seed, run in result.runs.items()],
        "mean": {name: spread.mean for name, spread in result.spread.items()},
        "std": {name: spread.std for name, spread in result.spread.items()},
        "paper": result.plan.recipe.paper.scores,
    }


def _run_json(result: TrainResult) -> JsonObject:
    return {
        "run": str(result.run),
        "adapter": str(result.adapter),
        "already_finished": result.already_finished,
        **result.scores,
    }


def _plan_json(plan: Plan) -> JsonObject:
    return {
        "recipe": plan.recipe.model_dump(mode="json") | {"method": plan.method.options()},
        "trainable": plan.num_trained,
        "head": plan.num_head,
        "training_only": plan.num_dropped,
        "total": plan.num_total,
        "parameters": [vars(group) | {"shape": list(group.shape)} for group in plan.parameters],
        "train_rows": plan.num_train_rows,
        "train_rows_counted": plan.rows_known,
        "rows_per_epoch": plan.rows_per_epoch,
        "steps": plan.schedule.num_steps,
        "steps_counted": plan.steps_known,
        "warmup_steps": plan.schedule.num_warmup,
    }
