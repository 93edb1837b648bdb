"""Plan -> run folder: train, validate, keep the best, score. An interrupted run continues where it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.errors import RUN_AGAIN, InterruptedRunError, NotFoundError
from lorafit.files import JsonObject
from lorafit.models.placement import clear_out_of_memory
from lorafit.run.checkpointer import Checkpointer, RunState
from lorafit.run.evaluator import Evaluator, RunEvaluator, notes_on_metrics
from lorafit.run.events import Event, EventLog, FormatChosen, Note, Report
from lorafit.run.folder import Found, RunFolder, check_goes_on, finished_result, is_resolved
from lorafit.run.lock import locked
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan, make_schedule
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.run.session import LoadedBase, attach, load
from lorafit.run.trainer import Trainer
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
        return _train_result(folder, finished, plan.scored_split, already_finished=True)
    early: list[Note] = []  # what is said before the log can be opened

    def report_early(event: Event) -> None:
        match event:
            case Note():
                early.append(event)
        report(event)

    for note in group.on_leader(lambda: notes_on_metrics(plan.objective)):
        report_early(note)
    with contextlib.ExitStack() as stack:
        group.on_leader(lambda: stack.enter_context(locked(folder.path)))
        base = group.leader_first(lambda: load(plan, report_early))
        group.on_leader(lambda: check_goes_on(folder, base.inputs, options))
        found = group.on_leader(lambda: folder.begin(recipe, options.resume))
        for fault in found.faults:
            report(Note(f"skipped a damaged checkpoint: {fault}"))
        base = base if found.checkpoint is None else base.going_on(found.checkpoint.state)
        log = _open_log(folder, recipe, found) if group.is_leader else None
        stack.callback(lambda: log.close() if log is not None else None)
        if log is not None:
            for event in early:
                log(event)
        scores = _run(plan, base, folder, found, _Reporter(log, report), group)
    return _train_result(folder, scores, plan.scored_split)


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
    return _train_result(folder, scores, str(scores.get("split")), already_finished=True)


def _run(
    plan: Plan, base: LoadedBase, folder: RunFolder, found: Found, reporter: _Reporter, group: ProcessGroup
) -> JsonObject:
    """Score the bare base if asked, train, and score the best adapter. Returns the scores."""
    section, schedule = plan.recipe.train, make_schedule(plan.recipe.train, base.order)
    placement = base.model.placement
    state = RunState(
        schedule.num_steps,
        inputs=base.inputs.to_json(),
        dtype=placement.dtype_name,
        dtype_reason=placement.reason,
    )
    if placement.reason:
        reporter(FormatChosen(placement.dtype_name, placement.reason))
    evaluator = RunEvaluator(Evaluator(base.objective, reporter, group), base, folder, plan.scored_split)
    try:
        group.stop_if_asked()
        if plan.recipe.eval.score_base and evaluator.has_rows and found.checkpoint is None:
            base.model.placement.move(base.model.net)
            state.base_scores = evaluator.score("base").get("scores", {})
    except InterruptedRunError as error:
        reason = group.stop() or error
        fault = f"{folder.path}: stopped before training ({reason}); nothing is lost"
        raise InterruptedRunError(fault, RUN_AGAIN) from None
    with clear_out_of_memory(folder.path):
        session = attach(base, plan.method, section, schedule, group)
        checkpointer = Checkpointer(session, folder, state, reporter.log, reporter)
        return Trainer(session, folder, state, checkpointer, evaluator, reporter).run(section, found)


@dataclass(frozen=True)
class _Reporter:
    """Writes events to the log and shows them. Only the leader has a log; the other processes are silent."""

    log: EventLog | None
    show: Report

    def __call__(self, event: Event) -> None:
        if self.log is not None:
            self.log(event)
            self.show(event)


def missing_by_name(asked: Sequence[str] | None, scores: Mapping[str, Any]) -> list[str]:
    """The scores that the user named and that could not be computed."""
    return [] if asked is None else list(scores.get("reasons") or {})


def _open_log(folder: RunFolder, recipe: Recipe, found: Found) -> EventLog:
    if found.checkpoint is None:
        return EventLog(folder.metrics, recipe.train.log_every)
    state = found.checkpoint.state
    return EventLog(
        folder.metrics, recipe.train.log_every, state.get("metrics_bytes", 0), state.get("num_tokens")
    )


def _train_result(
    folder: RunFolder, scores: JsonObject, split: str, *, already_finished: bool = False
) -> TrainResult:
    return TrainResult(folder.path, folder.adapter, scores, _samples(folder, split), already_finished)


def _samples(folder: RunFolder, split: str, count: int = 3) -> list[JsonObject]:
    path = folder.predictions(split)
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
