"""The plan of a sweep, and its answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from lorafit.display.display import Display
from lorafit.files import JsonObject
from lorafit.format import number, ranges
from lorafit.sweep.grid import settings_text, value_text

if TYPE_CHECKING:
    from lorafit.sweep.answer import Answer, Figure, Row
    from lorafit.sweep.sweep import SweepPlan, SweepResult

_MOST_ROWS = 50  # of a table on the terminal; the rest is counted


def show_sweep_plan(display: Display, plan: SweepPlan) -> None:
    """Every setting with its seeds, steps and parameters, and what is trained with what; in JSON every member."""
    ways = {i: (n, each.way) for n, each in enumerate(plan.groups, start=1) for i in each.members}
    members: list[JsonObject] = [
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
        display.print_json({"output": str(plan.output), "members": members, "notes": plan.notes()})
        return
    table = Table("run", "seeds", "steps", "parameters", "group", "trained", box=None, header_style="bold")
    settings = [list(each) for _, each in itertools.groupby(members, lambda member: member["overrides"])]
    for each in settings[:_MOST_ROWS]:
        first = each[0]
        table.add_row(
            escape(settings_text(first["overrides"]) or "the recipe"),
            ranges(member["seed"] for member in each),
            _span([member["steps"] for member in each]),
            f"{first['trainable']:,}",
            str(first["group"]),
            first["way"],
        )
    display.print_wide(table)
    if len(settings) > _MOST_ROWS:
        display.print(f"and {len(settings) - _MOST_ROWS:,} more settings; as JSON, all of them are shown")
    display.print(f"{len(members):,} run{'s' if len(members) > 1 else ''} in {escape(str(plan.output))}")
    for note in plan.notes():
        display.print(escape(note))


def show_sweep(display: Display, result: SweepResult, page: Path, command: str) -> None:
    """A table of the settings, the sentence, where everything is, and the command that uses the best, or ""."""
    if display.json:
        display.print_json(_json(result))
        return
    answer = result.answer
    keys = list(answer.rows[0].settings)
    names = [key.rpartition(".")[2] for key in keys]
    validation = [f"validation {answer.score_name}"] if answer.has_validation_score else []
    columns = (*names, "seeds", "validation loss", *validation, answer.score_name, "")
    table = Table(*columns, box=None, header_style="bold")
    for row in _shown(answer):
        values = [escape(value_text(row.settings[key])) for key in keys]
        shown = [row.loss, *([row.validation] if validation else []), row.score]
        table.add_row(*values, str(len(row.members)), *map(_figure, shown), _mark(row))
    display.print()
    display.print_wide(table)
    if len(answer.rows) > _MOST_ROWS:
        display.print(f"the best {_MOST_ROWS} of {len(answer.rows):,} settings; sweep.json has all")
    display.print(f"\n{escape(answer.sentence())}")
    display.print(f"answer:      {escape(str(result.output / 'sweep.json'))}")
    if page.is_file():
        display.print(f"page:        {escape(str(page))}")
    if result.best_recipe is not None:
        display.print(f"best recipe: {escape(str(result.best_recipe))}")
    if result.applied is not None:
        display.print(f"adapter:     {escape(str(result.applied.adapter))}")
    if command:
        display.print(f"next:        {escape(command)}")


def _json(result: SweepResult) -> JsonObject:
    return {
        "output": str(result.output),
        **result.answer.to_json(),
        "best_recipe": None if result.best_recipe is None else str(result.best_recipe),
        "adapter": None if result.applied is None else str(result.applied.adapter),
    }


def _shown(answer: Answer) -> Sequence[Row]:
    """All settings, or the best of many, in the order of the grid."""
    if len(answer.rows) <= _MOST_ROWS:
        return answer.rows
    best = {id(row) for row in answer.ranked()[:_MOST_ROWS]}
    return [row for row in answer.rows if id(row) in best]


def _span(values: Sequence[int]) -> str:
    """The values of runs that differ in their seeds: mostly one."""
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _figure(figure: Figure | None) -> str:
    """Mean, and half the width of its 95% interval."""
    if figure is None:
        return "-"
    return number(figure.mean) + ("" if figure.half is None else f" ± {number(figure.half)}")


def _mark(row: Row) -> str:
    said = ["best"] if row.is_best else ["within noise"] if row.is_close else []
    said += [f"{row.num_diverged} diverged"] if row.num_diverged else []
    return ", ".join(said)
