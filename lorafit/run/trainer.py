"""The run itself: a loop over what `fit` yields. Log it, checkpoint when due, validate, keep the best, score."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

from lorafit.adapters import read_adapter, record_scores
from lorafit.adapters.restore import load_tensors
from lorafit.errors import RUN_AGAIN, DivergedError, InterruptedRunError, SetKey
from lorafit.files import JsonObject
from lorafit.objectives import Validation
from lorafit.recipe import TrainSection
from lorafit.run.checkpointer import Checkpointer, RunState
from lorafit.run.evaluator import RunEvaluator
from lorafit.run.events import Finished, Note, Report, Started, Validated
from lorafit.run.figures import draw_confusion
from lorafit.run.files.folder import Found, RunFolder
from lorafit.run.session import Session, take_start
from lorafit.training import (
    EpochEnded,
    Failed,
    FitEvent,
    MemoryRanOut,
    Movement,
    Schedule,
    Stepped,
    all_finite,
    fit,
)


class Trainer:
    """Trains the session's member into a run folder, and scores the best adapter."""

    def __init__(
        self,
        session: Session,
        section: TrainSection,
        folder: RunFolder,
        state: RunState,
        checkpointer: Checkpointer,
        evaluator: RunEvaluator,
        report: Report,
    ) -> None:
        self.session, self.section, self.folder, self.state = session, section, folder, state
        self.checkpointer, self.evaluator, self.report = checkpointer, evaluator, report
        self.movement = Movement({})  # until the run begins

    def run(self, found: Found) -> JsonObject:
        """Start, or continue from the checkpoint that was found; train to the end; score. Returns the scores.

        Raises InterruptedRunError when the run is asked to stop; a checkpoint is then written.
        """
        base = self.session.base
        try:
            self.begin(found)
            with base.model.placement.autocast():
                for event in fit(base.model, [self.session.member], base.objective, self.session.group):
                    self.handle(event)
            return self.finish()
        except InterruptedRunError as error:
            reason = self.session.group.stop() or str(error)
            self.save()  # while scoring there is nothing new to save
            step = self.session.member.position.step
            fault = f"{self.folder.path}: stopped after step {step} ({reason})"
            raise InterruptedRunError(fault, RUN_AGAIN) from None

    def begin(self, found: Found) -> None:
        """Take the start, or restore the checkpoint that was found. Out of patience, the member is stopped."""
        if found.checkpoint is not None:
            self.checkpointer.resume(found, found.checkpoint)
            self._extend()
        else:
            for line in take_start(self.session, self.section):
                self.report(Note(line))
            if self.state.base_scores is not None:
                self.save()
        self.session.member.stopped = self._is_out_of_patience()
        if not self.session.member.stopped:
            self.movement = Movement(self.session.method.always_reached(self.session.base.model))
            self.report(self._start_event())
            self.session.base.model.net.train()

    def save(self) -> None:
        """Write a checkpoint, unless there is one of this very moment."""
        self.checkpointer.save(self.section.keep_checkpoints)

    def _extend(self) -> None:
        """Plan the learning rate anew, where the run is longer than the checkpoint's."""
        member, planned = self.session.member, self.state.num_steps
        if planned != member.schedule.num_steps:
            self.report(_extension_note(planned, member.schedule, member.position.step))
            self.state.num_steps = member.schedule.num_steps
            self.state.epochs_since_best = 0

    @property
    def is_due(self) -> bool:
        """Whether an epoch has ended that is not validated yet."""
        member = self.session.member
        has_ended = not member.is_finished and member.is_at_epoch_end
        return has_ended and member.position.step > self.state.validated_step

    def handle(self, event: FitEvent, validation: Validation | None = None) -> None:
        """What is due after an event of `fit`: log, checkpoint, validation, unless that was made already.

        Raises DivergedError, and InterruptedRunError when the run is asked to stop while it validates.
        """
        match event:
            case Stepped():
                self.report(event)
                self.movement.stepped(event.step, event.learning_rate)
                if event.step % self.section.checkpoint_every == 0:
                    self.save()
            case EpochEnded() if event.step > self.state.validated_step:
                self._validate(event, validation)
                self.save()
                self.session.member.stopped = self._is_out_of_patience()
            case MemoryRanOut():
                self.report(
                    Note(
                        f"step {event.step}: out of memory; the run continues with micro-batches of "
                        f"{event.micro_batch_size}, and the batch of a step stays the same"
                    )
                )
            case Failed(error):
                raise self._diverged(error) if self.movement.passed else error

    def _validate(self, ended: EpochEnded, validation: Validation | None) -> None:
        """The best epoch has the greatest validation quality; without a validation split the last is best."""
        base, state = self.session.base, self.state
        if base.valid and validation is None:
            validation = base.objective.validate(base.model, base.valid_rows, base.valid, self.session.group)
        if validation is not None and not math.isfinite(validation.loss):
            error = DivergedError(
                f"epoch {ended.epoch}: the validation loss is {validation.loss}",
                SetKey("train.learning_rate", note="lower"),
            )
            raise self._diverged(error)
        best = state.is_best(validation)
        if validation is not None:
            self.report(Validated(ended.epoch, ended.step, validation.loss, validation.scores, best))
            for note in validation.notes:
                self.report(Note(f"epoch {ended.epoch}: {note}"))
        self.checkpointer.save_adapter(best=best)
        if best and validation is not None:
            state.best_quality = validation.quality
        state.epochs_since_best = 0 if best else state.epochs_since_best + 1
        state.validated_step = ended.step

    def _is_out_of_patience(self) -> bool:
        """Whether to train no further, although there are steps left."""
        since, at, patience = (
            self.state.epochs_since_best,
            self.session.member.position,
            self.section.patience,
        )
        if patience is None or since < patience or at.step >= self.state.num_steps:
            return False
        self.report(Note(f"no better validation for {since} epochs (train.patience), so training ends here"))
        return True

    def _diverged(self, error: DivergedError) -> DivergedError:
        """Keep what is still good on disk: the parameters as they were before the step that failed."""
        if all_finite(self.session.member.parameters):
            with contextlib.suppress(DivergedError):  # it answers with NaN, and is not good
                self.checkpointer.save_adapter(best=False)
        folders = (self.folder.adapter, self.folder.last_adapter)
        kept = " and ".join(str(folder) for folder in folders if folder.is_dir())
        message = f"{error.message}; the last good adapter is in {kept}" if kept else error.message
        return DivergedError(message, *error.remedies)

    def finish(self) -> JsonObject:
        """Score the best adapter and write the result: a run with scores is finished."""
        scores: JsonObject = {}
        if self.evaluator.has_rows:
            self.restore_best()
            scores = self.evaluator.score("adapter")
        else:
            self.report(Note(f"the recipe has no {self.evaluator.split} split, so nothing is scored"))
        if self.state.base_scores is not None:
            scores["base"] = self.state.base_scores
        self.report(Finished(self.session.member.position.step, self.checkpointer.seconds()))
        if self.session.group.is_leader:
            if "scores" in scores:
                record_scores(self.folder.adapter, scores["scores"], self.session.base.card.arithmetic)
            draw_confusion(self.folder.path, scores)
            self.folder.write_scores(scores)
        return scores

    def restore_best(self) -> None:
        """Put the best adapter on the model, just as an adapter folder is loaded."""
        model, group = self.session.base.model, self.session.group
        self.session.method.finish(model)
        if group.is_leader:
            load_tensors(read_adapter(self.folder.adapter), model)
        group.broadcast_tensors(list(model.trained().values()))

    def _start_event(self) -> Started:
        base, member = self.session.base, self.session.member
        placement = base.model.placement
        return Started(
            num_steps=member.schedule.num_steps,
            num_examples=len(base.train.examples),
            num_trained=sum(p.numel() for p in member.parameters),
            device=str(placement.device),
            dtype=placement.dtype_name,
            first_step=member.position.step,
            num_total=sum(p.numel() for p in base.model.net.parameters()),
            num_rows={split: len(rows) for split, rows in base.rows.items()},
            steps_per_epoch=base.order.steps_per_epoch,
        )


def _extension_note(planned: int, schedule: Schedule, step: int) -> Note:
    before = replace(schedule, num_steps=planned).learning_rate(step)
    return Note(
        f"extended from {planned:,} to {schedule.num_steps:,} steps; the learning rate is planned anew for that "
        f"length: at step {step + 1:,} it is {schedule.learning_rate(step):.2e} instead of {before:.2e}"
    )
