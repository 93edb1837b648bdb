"""What a run leaves on disk while it is under way: the best adapter, the last one, and checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lorafit.adapters import (
    AdapterCard,
    finished_tensors,
    take_fingerprint,
    trained_tensors,
    write_adapter,
)
from lorafit.errors import LorafitError, RecipeError
from lorafit.lora import Draws
from lorafit.methods import Method
from lorafit.models import Model
from lorafit.run.checkpoint import Checkpoint, prune, write_checkpoint
from lorafit.run.events import Note, Report, Saved
from lorafit.run.folder import EventLog, RunFolder
from lorafit.run.work import Validation
from lorafit.training import Position, World


@dataclass
class Progress:
    """What a run remembers besides its position."""

    num_steps: int  # that were planned
    best_quality: float | None = None  # of the best adapter so far
    validated_step: int = 0  # the last step after which an epoch's end was dealt with
    seconds: float = 0.0  # spent so far
    base_scores: dict[str, Any] | None = None
    weights_hash: str = ""  # of the base
    metrics_bytes: int = 0  # of the event log

    def is_best(self, validation: Validation | None) -> bool:
        """Whether no earlier epoch was better; without a validation split the last is best."""
        return validation is None or self.best_quality is None or validation.quality > self.best_quality


@dataclass(frozen=True)
class Sample:
    """Inputs, and what the bare base answers to them: an adapter's fingerprint is taken on these."""

    inputs: list[list[int]]
    base_answers: Tensor


class Keeper:
    """Writes the adapters and checkpoints of one run; only the leading process does."""

    def __init__(
        self,
        run: RunFolder,
        model: Model,
        method: Method,
        card: AdapterCard,
        sample: Sample,
        draws: Draws,
        world: World,
        tell: Report,
    ) -> None:
        self.draws = draws
        self.run, self.model, self.method, self.world, self.tell = run, model, method, world, tell
        self.card, self.sample = card, sample
        self._written: tuple[int, int] | None = None  # (step, validated step) of the newest checkpoint
        self._resumed_at = (time.monotonic(), 0.0)

    def keep_adapter(self, step: int, *, best: bool) -> None:
        """The adapter as it is now, as the last one and, where it is, as the best."""
        tensors = finished_tensors(self.model, self.method)
        fingerprint = take_fingerprint(self.model, self.sample.inputs, self.sample.base_answers)
        if not self.world.leads:
            return
        origin = self.card.provenance.model_copy(update={"step": step})
        card = self.card.model_copy(update={"provenance": origin})
        for folder in (self.run.last_adapter, *([self.run.adapter] if best else [])):
            written = write_adapter(folder, card, tensors, fingerprint)
            self.tell(Saved(folder, step, sum(file.num_bytes for file in written.files.values())))

    def checkpoint(
        self,
        position: Position,
        progress: Progress,
        optimizer: torch.optim.Optimizer,
        log: EventLog | None,
        keep: int,
    ) -> None:
        """Write a checkpoint, unless the newest one is of this very moment.

        Raises LorafitError when there is no room; the one before is then still there.
        """
        moment = (position.step, progress.validated_step)
        rng = self.world.gather(self.draws.state())
        if moment == self._written or log is None:
            return
        started = time.monotonic()
        progress.seconds = self.seconds()
        progress.metrics_bytes = log.sync()
        best = self.run.adapter if self.run.adapter.is_dir() else None
        folder = self.run.checkpoints / f"step-{position.step}"
        checkpoint = Checkpoint(
            position, trained_tensors(self.model), optimizer.state_dict(), rng, vars(progress).copy(), best
        )
        try:
            num_bytes = write_checkpoint(folder, checkpoint)
        except LorafitError as error:
            before = f"the checkpoint of step {self._written[0]} is intact" if self._written else ""
            hint = f"{before or 'there is none before it'}; free some space and run the same command again"
            raise LorafitError(f"{error}; {hint}") from error
        self._written = moment
        prune(self.run.checkpoints, keep)
        self.world.seconds_to_save = max(self.world.seconds_to_save, time.monotonic() - started)
        self.tell(Saved(folder, position.step, num_bytes))

    def go_on_from(
        self, checkpoint: Checkpoint, optimizer: torch.optim.Optimizer
    ) -> tuple[Position, Progress]:
        """Everything as it was when the checkpoint was written.

        Raises RecipeError when the base is not the one it was.
        """
        progress = Progress(**checkpoint.progress)
        if progress.weights_hash != self.card.base.weights_hash:
            raise RecipeError(
                f"{self.run.path}: the weights of {self.card.base.id} are not the ones that this run began with; put "
                f"them back, or choose another --output"
            )
        with torch.no_grad():
            for name, parameter in self.model.trained().items():
                parameter.copy_(checkpoint.trained[name])
        optimizer.load_state_dict(checkpoint.optimizer)
        if len(checkpoint.rng) == self.world.size:
            self.draws.set_state(checkpoint.rng[self.world.rank])
        else:
            self.tell(
                Note(
                    f"the run was on {len(checkpoint.rng)} processes and is on {self.world.size} now: the same data "
                    f"in the same order, but other dropout masks"
                )
            )
        self._written = (checkpoint.position.step, progress.validated_step)
        self._resumed_at = (time.monotonic(), progress.seconds)
        return checkpoint.position, progress

    def seconds(self) -> float:
        """Spent on the run so far, over all the processes that came one after the other."""
        since, before = self._resumed_at
        return before + time.monotonic() - since
