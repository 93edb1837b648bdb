"""A run whose folder is locked and ready to be written, on a base that has no method yet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Self

from lorafit.errors import RUN_AGAIN, InterruptedRunError
from lorafit.objectives import Prediction
from lorafit.run.checkpointer import Checkpointer, RunState
from lorafit.run.evaluator import Evaluator, RunEvaluator
from lorafit.run.events import Event, EventLog, FormatChosen, Note, Report
from lorafit.run.files.folder import Found, RunFolder, check_goes_on
from lorafit.run.files.paths import checkpoint_folders
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan, make_schedule
from lorafit.run.recipes import Recipe
from lorafit.run.session import LoadedBase, Session
from lorafit.run.tracking import open_feed
from lorafit.run.trainer import Trainer
from lorafit.run.warm_start import check_start
from lorafit.training import ProcessGroup, Schedule


@dataclass(frozen=True)
class OpenRun:
    """Its plan, its base, its folder and what was found there; it reports to its log and to whoever watches."""

    plan: Plan
    base: LoadedBase
    folder: RunFolder
    found: Found
    report: Reporter
    group: ProcessGroup
    of_base: dict[str, list[Prediction]] = field(default_factory=dict)  # see RunEvaluator

    @classmethod
    def open(
        cls,
        plan: Plan,
        base: LoadedBase,
        folder: RunFolder,
        report: Report,
        options: TrainOptions,
        group: ProcessGroup,
        stack: contextlib.ExitStack,
    ) -> Self:
        """Prepare the folder, which must be locked, to start or to go on. Its log is closed with `stack`.

        Raises RecipeError where the folder holds a run of other inputs, and what `check_start` raises for one that
        would start; the folder is then as it was.
        """
        group.on_leader(lambda: check_goes_on(folder, base.inputs, options))
        if options.resume == "never" or not checkpoint_folders(folder.checkpoints):
            check_start(plan.method, plan.recipe.train.init_from, base.card.base)
        found = group.on_leader(lambda: folder.begin(plan.recipe, options.resume))
        for fault in found.faults:
            report(Note(f"skipped a damaged checkpoint: {fault}"))
        log = _open_log(folder, plan.recipe, found, report, stack) if group.is_leader else None
        base = base if found.checkpoint is None else base.going_on(found.checkpoint.state)
        return cls(plan, base, folder, found, Reporter(log, report), group)

    @property
    def schedule(self) -> Schedule:
        """Steps, warm-up and peak."""
        return make_schedule(self.plan.recipe.train, self.base.order)

    def begin(self) -> RunState:
        """The state of a run that begins, with the scores of the bare base where the recipe asks for them."""
        placement, evaluator = self.base.model.placement, self._evaluator()
        state = RunState(
            self.schedule.num_steps,
            inputs=self.base.inputs.to_json(),
            dtype=placement.dtype_name,
            dtype_reason=placement.reason,
        )
        if placement.reason:
            self.report(FormatChosen(placement.dtype_name, placement.reason))
        try:
            self.group.stop_if_asked()
            if self.plan.recipe.eval.score_base and evaluator.has_rows and self.found.checkpoint is None:
                placement.move(self.base.model.net)
                state.base_scores = evaluator.score("base").get("scores", {})
        except InterruptedRunError as error:
            reason = self.group.stop() or error
            fault = f"{self.folder.path}: stopped before training ({reason}); nothing is lost"
            raise InterruptedRunError(fault, RUN_AGAIN) from None
        return state

    def trainer(self, session: Session, state: RunState) -> Trainer:
        """What trains the session's member into this folder."""
        checkpointer = Checkpointer(session, self.folder, state, self.report.log, self.report)
        section = self.plan.recipe.train
        return Trainer(session, section, self.folder, state, checkpointer, self._evaluator(), self.report)

    def _evaluator(self) -> RunEvaluator:
        evaluator = Evaluator(self.base.objective, self.report, self.group)
        return RunEvaluator(evaluator, self.base, self.folder, self.plan.scored_split, self.of_base)


@dataclass(frozen=True)
class Reporter:
    """Writes events to the log and shows them. Only the leader has a log; the other processes are silent."""

    log: EventLog | None
    show: Report

    def __call__(self, event: Event) -> None:
        if self.log is not None:
            self.log(event)
            self.show(event)


class EarlyNotes:
    """Shows what is said before a run's log can be opened, and keeps the notes for it."""

    def __init__(self, show: Report) -> None:
        self.show, self._notes = show, list[Note]()

    def __call__(self, event: Event) -> None:
        match event:
            case Note():
                self._notes.append(event)
        self.show(event)

    def write(self, run: OpenRun) -> None:
        """Into the log of a run."""
        if run.report.log is not None:
            for note in self._notes:
                run.report.log(note)


def _open_log(
    folder: RunFolder, recipe: Recipe, found: Found, report: Report, stack: contextlib.ExitStack
) -> EventLog:
    """The event log, followed by the trackers; `stack` closes both."""
    state = found.checkpoint.state if found.checkpoint else {"num_tokens": 0}
    num_bytes, num_tokens = state.get("metrics_bytes", 0), state.get("num_tokens")
    log = EventLog(folder.metrics, recipe.train.log_every, num_bytes, num_tokens)
    stack.callback(log.close)
    feed = open_feed(recipe, folder, report)
    stack.callback(feed.close)
    log.follow = feed.log
    return log
