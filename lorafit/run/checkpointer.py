"""What a run writes while it trains: the best adapter, the last one, and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lorafit.adapters import finished_tensors, take_fingerprint, trained_tensors, write_adapter
from lorafit.errors import Advice, DivergedError, LorafitError, SetKey
from lorafit.files import JsonObject
from lorafit.objectives import Validation
from lorafit.run.events import EventLog, Note, Report, Saved
from lorafit.run.files.checkpoint import Checkpoint, num_bytes, prune, write_checkpoint
from lorafit.run.files.folder import Found, RunFolder
from lorafit.run.session import Session


@dataclass
class RunState:
    """The state of a run; it changes while the run trains."""

    num_steps: int  # as planned
    best_quality: float | None = None  # of the best adapter so far
    epochs_since_best: int = 0
    validated_step: int = 0  # the end of the last epoch that was validated and saved
    seconds: float = 0.0  # spent so far
    base_scores: JsonObject | None = None
    inputs: JsonObject = field(default_factory=dict)  # `Inputs` as JSON
    metrics_bytes: int = 0  # of the event log
    num_tokens: int | None = 0  # trained on so far; None where an earlier lorafit did not count them
    dtype: str = "float32"  # of the frozen weights
    dtype_reason: str = ""  # why, where the recipe left it open

    def is_best(self, validation: Validation | None) -> bool:
        """Whether no earlier epoch was better; without a validation split the last is best."""
        return validation is None or self.best_quality is None or validation.quality > self.best_quality

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over the values of a checkpoint; its inputs have been compared with these."""
        for name in vars(self).keys() & saved.keys() - {"inputs"}:
            setattr(self, name, saved[name])


class Checkpointer:
    """Writes the adapters and checkpoints of one run. Only the leader writes; `log` is None in other processes."""

    def __init__(
        self, session: Session, folder: RunFolder, state: RunState, log: EventLog | None, report: Report
    ) -> None:
        self.session, self.folder, self.state, self.log, self.report = session, folder, state, log, report
        self._written: tuple[int, int] | None = None  # (step, validated step) of the newest checkpoint
        self._resumed_at = (time.monotonic(), 0.0)

    def save_adapter(self, *, best: bool) -> None:
        """Write the adapter as it is now, as the last one and, if it is, as the best.

        Raises DivergedError, and writes nothing, for one that answers with what is no number.
        """
        base, step = self.session.base, self.session.member.position.step
        tensors = finished_tensors(base.model, self.session.method)
        fingerprint = take_fingerprint(base.model, base.sample.inputs, base.sample.base_answers)
        if not fingerprint.trained.isfinite().all():
            raise DivergedError(
                f"step {step}: the adapter answers with NaN", SetKey("train.learning_rate", note="lower")
            )
        if not self.session.group.is_leader:
            return
        origin = base.card.provenance.model_copy(update={"step": step})
        card = base.card.model_copy(update={"provenance": origin})
        for folder in (self.folder.last_adapter, *([self.folder.adapter] if best else [])):
            written = write_adapter(folder, card, tensors, fingerprint)
            self.report(Saved(folder, step, sum(file.num_bytes for file in written.files.values())))

    def save(self, keep: int) -> None:
        """Write a checkpoint, unless the newest one is of this very moment; keep the newest `keep`.

        Raises LorafitError when the disk is full; the checkpoint before is then still there.
        """
        member, group = self.session.member, self.session.group
        moment = (member.position.step, self.state.validated_step)
        rng = group.all_gather(member.draws.state())
        if moment == self._written or self.log is None:
            return
        started = time.monotonic()
        self.state.seconds = self.seconds()
        self.state.metrics_bytes, self.state.num_tokens = self.log.sync(), self.log.num_tokens
        best = self.folder.adapter if self.folder.adapter.is_dir() else None
        folder = self.folder.checkpoints / f"step-{member.position.step}"
        trained, state = trained_tensors(self.session.base.model), vars(self.state).copy()
        checkpoint = Checkpoint(member.position, trained, member.optimizer.state_dict(), rng, state, best)
        try:
            size = write_checkpoint(folder, checkpoint)
        except LorafitError as error:
            before = f"the checkpoint of step {self._written[0]} is intact" if self._written else ""
            fault = f"{error.message}; {before or 'there is no earlier checkpoint'}"
            raise LorafitError(fault, Advice("free some space and run the same command again")) from error
        self._written = moment
        prune(self.folder.checkpoints, keep)
        group.stop.save_took(time.monotonic() - started)
        self.report(Saved(folder, member.position.step, size))

    def resume(self, found: Found, checkpoint: Checkpoint) -> None:
        """Restore everything as it was when the checkpoint was written."""
        member = self.session.member
        self.state.restore(checkpoint.state)
        with torch.no_grad():
            for name, parameter in member.trained.items():
                parameter.copy_(checkpoint.trained[name])
        member.optimizer.load_state_dict(checkpoint.optimizer)
        member.position = checkpoint.position
        self._restore_draws(checkpoint.rng)
        self._written = (member.position.step, self.state.validated_step)
        self._resumed_at = (time.monotonic(), self.state.seconds)
        if self.log is not None and found.folder is not None:  # its line was written after the log's cut
            self.log(Saved(found.folder, member.position.step, num_bytes(found.folder)))
        self.report(Note(f"resumed from {found.folder}"))

    def seconds(self) -> float:
        """Time spent on the run so far, over every process that has worked on it."""
        since, before = self._resumed_at
        return before + time.monotonic() - since

    def _restore_draws(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        group = self.session.group
        if len(states) == group.size:
            self.session.member.draws.set_state(states[group.rank])
            return
        self.report(
            Note(
                f"the run was on {len(states)} processes and is on {group.size} now: the data and their order stay "
                f"the same, the dropout masks do not"
            )
        )
