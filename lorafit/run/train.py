"""Plan -> run folder: train, validate, keep the best, score. An interrupted run continues where it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lorafit.errors import DivergedError, NotFoundError
from lorafit.files import JsonObject
from lorafit.models.placement import clear_out_of_memory
from lorafit.run.evaluator import notes_on_metrics
from lorafit.run.events import Report
from lorafit.run.files.folder import RunFolder, finished_result, is_resolved
from lorafit.run.files.lock import locked
from lorafit.run.opened import EarlyNotes, OpenRun
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.session import attach, load
from lorafit.tasks import load_rows
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class TrainResult:
    """The folders of a finished run, and its scores. `samples` are the first few predictions."""

    run: Path
    adapter: Path
    scores: JsonObject
    samples: list[JsonObject]
    already_finished: bool = False


def train(
    plan: Plan, output: Path | None, report: Report, options: TrainOptions, group: ProcessGroup
) -> TrainResult:
    """Execute a plan. An unfinished run continues; of a finished one the result is returned, and nothing is trained.

    Raises the LorafitError of whatever goes wrong. Where data or base are at fault, no files are left behind.
    """
    recipe, folder = plan.recipe, RunFolder.of(plan.recipe, output)
    finished = group.on_leader(lambda: finished_result(folder, recipe, plan.rows, options, report))
    if finished is not None:
        return train_result(folder, finished, plan.scored_split, already_finished=True)
    early = EarlyNotes(report)
    for note in group.on_leader(lambda: notes_on_metrics(plan.objective)):
        early(note)
    with contextlib.ExitStack() as stack:
        group.on_leader(lambda: stack.enter_context(locked(folder.path)))
        base = group.leader_first(lambda: load(plan, early))
        opened = OpenRun.open(plan, base, folder, report, options, group, stack)
        early.write(opened)
        state = opened.begin()
        with clear_out_of_memory(folder.path):
            session = attach(opened.base, plan.method, recipe.train, opened.schedule, group)
            trainer = opened.trainer(session, state)
            try:
                scores = trainer.run(opened.found)
            except DivergedError as error:
                group.on_leader(partial(folder.write_divergence, error))
                raise
    return train_result(folder, scores, plan.scored_split)


def finished_without(
    missing: NotFoundError, recipe: Recipe, output: Path | None, options: TrainOptions, report: Report
) -> TrainResult:
    """The result of a finished run that cannot be planned any more, since something of it is `missing`.

    Raises `missing` where the folder does not hold such a run, and RecipeError where what is left of its inputs has
    changed.
    """
    folder = RunFolder.of(recipe, output)
    kept = open_recipe(folder.recipe) if folder.is_begun() and not options.extend else None
    if kept is None or not is_resolved(kept, recipe):
        raise missing
    scores = finished_result(folder, kept, load_rows(kept.task, kept.data), options, report)
    if scores is None:
        raise missing
    return train_result(folder, scores, str(scores.get("split")), already_finished=True)


def missing_by_name(asked: Sequence[str] | None, scores: Mapping[str, Any]) -> list[str]:
    """The scores that the user named and that could not be computed."""
    return [] if asked is None else list(scores.get("reasons") or {})


def train_result(
    folder: RunFolder, scores: JsonObject, split: str, *, already_finished: bool = False
) -> TrainResult:
    """The result of a finished run, with a few of its predictions."""
    return TrainResult(folder.path, folder.adapter, scores, _samples(folder, split), already_finished)


def _samples(folder: RunFolder, split: str, count: int = 3) -> list[JsonObject]:
    path = folder.predictions(split)
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
