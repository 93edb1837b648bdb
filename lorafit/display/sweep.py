"""The plan of a sweep, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.files import JsonObject
from lorafit.format import number

if TYPE_CHECKING:
    from lorafit.sweep.answer import Figure, Row
    from lorafit.sweep.sweep import SweepPlan, SweepResult


def show_sweep_plan(display: Display, plan: SweepPlan) -> None:
    """Every member with its steps and parameters, and what is trained with what."""
    ways = {i: (n, each.way) for n, each in enumerate(plan.groups, start=1) for i in each.members}
    rows = [
        {
            "run": str(job.run.path),
            "overrides": dict(point.settings),
            "seed": job.plan.recipe.train.seed,
            "steps": job.plan.schedule.num_steps,
            "trainable": job.plan.num_trained,
            "group": ways[i][0],
            "way": ways[i][1],
        }
        for i, (point, job) in enumerate(zip(plan.points, plan.jobs, strict=True))
    ]
    if display.json:
        display.print_json({"output": str(plan.output), "members": rows, "notes": plan.notes()})
        return
    table = Table("run", "steps", "parameters", "group", "trained", box=None, header_style="bold")
    for i, (row, job) in enumerate(zip(rows, plan.jobs, strict=True)):
        plain = (f"{row['steps']:,}", f"{row['trainable']:,}", str(row["group"]), ways[i][1])
        table.add_row(escape(job.name), *plain)
    display.print_wide(table)
    for note in plan.notes():
        display.print(escape(note))


def show_sweep(display: Display, result: SweepResult, page: Path) -> None:
    """A table of the settings, the sentence, and where everything is."""
    if display.json:
        display.print_json(_json(result))
        return
    answer = result.answer
    keys = list(answer.rows[0].settings)
    names = [key.rpartition(".")[2] for key in keys]
    columns = (*names, "seeds", "validation loss", answer.score_name, "")
    table = Table(*columns, box=None, header_style="bold")
    for row in answer.rows:
        values = [escape(str(row.settings[key])) for key in keys]
        table.add_row(*values, str(len(row.members)), _figure(row.loss), _figure(row.score), _mark(row))
    display.print()
    display.print_wide(table)
    display.print(f"\n{escape(answer.sentence())}")
    display.print(f"answer:      {escape(str(result.output / 'sweep.json'))}")
    if page.is_file():
        display.print(f"page:        {escape(str(page))}")
    if result.best_recipe is not None:
        display.print(f"best recipe: {escape(str(result.best_recipe))}")
    if result.applied is not None:
        display.print(f"adapter:     {escape(str(result.applied.adapter))}")


def _json(result: SweepResult) -> JsonObject:
    return {
        "output": str(result.output),
        **result.answer.to_json(),
        "best_recipe": None if result.best_recipe is None else str(result.best_recipe),
        "adapter": None if result.applied is None else str(result.applied.adapter),
    }


def _figure(figure: Figure | None) -> str:
    """Mean, and half the width of its 95% interval."""
    if figure is None:
        return "-"
    return number(figure.mean) + ("" if figure.half is None else f" ± {number(figure.half)}")


def _mark(row: Row) -> str:
    said = ["best"] if row.is_best else ["within noise"] if row.is_close else []
    said += [f"{row.num_diverged} diverged"] if row.num_diverged else []
    return ", ".join(said)
