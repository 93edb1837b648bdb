"""Runs whose members stand ready on one net: trained together or in turns, each as if it were alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, TypeVar

import torch

from lorafit.data.batches import split_evenly
from lorafit.errors import RUN_AGAIN, DivergedError, InterruptedRunError
from lorafit.files import JsonObject
from lorafit.lora import Draws, Members
from lorafit.models import draw_head
from lorafit.models.placement import is_out_of_memory
from lorafit.objectives import Validation
from lorafit.run.events import Note
from lorafit.run.opened import OpenRun
from lorafit.run.session import Session, make_member
from lorafit.run.trainer import Trainer
from lorafit.sweep.proof import is_proven_equal
from lorafit.sweep.room import room_for
from lorafit.sweep.scoring import Scoring
from lorafit.training import (
    EpochEnded,
    FewerAtOnce,
    FitEvent,
    Member,
    ProcessGroup,
    fit,
    recompute_activations,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class OneBase:
    """The runs, their members on one net, and what trains each."""

    family: Members
    opened: Sequence[OpenRun]
    trainers: Sequence[Trainer]
    scoring: Scoring  # what they are asked together
    processes: ProcessGroup

    @staticmethod
    def of(opened: Sequence[OpenRun], processes: ProcessGroup, sharing: int) -> OneBase:
        """The method of each run on the base, with draws of its own, as if the run had loaded the base itself.

        `sharing` processes share the memory of the device.
        """
        model = opened[0].base.model
        family, states = Members(model.net, model.net.base_model), []
        for each in opened:
            section = each.plan.recipe.train
            draw_head(model.net, model.fresh, torch.Generator().manual_seed(section.seed))
            states.append(each.begin())
            draws = Draws(section.seed)
            each.plan.method.attach(model, draws.init())
            family.add(draws)
        if opened[0].plan.recipe.train.gradient_checkpointing:
            recompute_activations(model.net, family.draws)
        for number in range(len(opened)):
            with family.alone(number):
                model.placement.place(model.net)
        trainers = []
        for number, (each, state) in enumerate(zip(opened, states, strict=True)):
            with family.alone(number):
                section, draws = each.plan.recipe.train, family.draws.of_member(number)
                member = make_member(each.base, section, each.schedule, draws)
                session = Session(each.base, each.plan.method, member, processes)
                trainers.append(each.trainer(session, state))
        return OneBase(family, opened, trainers, Scoring(family, trainers, sharing), processes)

    @property
    def members(self) -> list[Member[Any]]:
        """What trains, in order."""
        return [trainer.session.member for trainer in self.trainers]

    @property
    def is_proven(self) -> bool:
        """Whether this base reads the stretches of its members as it reads each alone."""
        base = self.opened[0].base
        return is_proven_equal(base.model, base.objective, self.family, self.members)

    def train_in_turns(self) -> list[JsonObject | DivergedError]:
        """The scores of each, or why it diverged."""
        return [self._tried(i, methodcaller("run", each.found)) for i, each in enumerate(self.opened)]

    def train_together(self, at_once: int) -> list[JsonObject | DivergedError]:
        """The scores of each, or why it diverged.

        Raises InterruptedRunError when asked to stop; every unfinished run has a checkpoint then.
        """
        for i, trainer in enumerate(self.trainers):
            with self.family.alone(i):
                trainer.begin(self.opened[i].found)
        ended: dict[int, JsonObject | DivergedError] = {}
        try:
            at_once = self._fit(at_once, ended)
            self._finish(at_once, ended)
        except InterruptedRunError as error:
            reason = self.processes.stop() or str(error)
            unfinished = [i for i in range(len(self.trainers)) if i not in ended]
            for i in unfinished:
                with self.family.alone(i):
                    self.trainers[i].save()
            where = os.path.commonpath([each.folder.path for each in self.opened])
            fault = f"{where}: {len(unfinished)} runs stopped, each with a checkpoint ({reason})"
            raise InterruptedRunError(fault, RUN_AGAIN) from None
        return [ended[i] for i in range(len(self.trainers))]

    def room(self) -> int | None:
        """How many members memory has room for, by the longest of their first steps; None where that is not known."""
        base, members = self.opened[0].base, self.members
        steps = [_first_step(member) for member in members]
        lengths = [sum(len(base.objective.inputs(example)) for example in step) for step in steps]
        number = lengths.index(max(lengths))
        member = members[number]
        before = member.draws.state()
        moments = 2 * sum(parameter.nbytes for parameter in member.parameters)  # AdamW's

        def step() -> None:
            batch = base.objective.collate([steps[number]])
            base.objective.loss_sums(base.model, batch, [0.0]).sum().backward()

        with self.family.alone(number), base.model.placement.autocast():
            base.model.net.train()
            try:
                found = room_for(step, base.model.device, kept_bytes=moments, sharing=self.scoring.sharing)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                found = 1
        member.optimizer.zero_grad(set_to_none=True)
        member.draws.set_state(before)
        return found

    def _fit(self, at_once: int, ended: dict[int, JsonObject | DivergedError]) -> int:
        """Train them to their ends; those that diverge have `ended`. Returns how many are at once in the end."""
        base, members, known = self.opened[0].base, self.members, dict[int, Validation]()
        with self.family.together(), base.model.placement.autocast():
            base.model.net.train()
            for event in fit(base.model, members, base.objective, self.processes, at_once):
                match event:
                    case FewerAtOnce():
                        at_once = event.at_once
                    case EpochEnded(member=number) if self.trainers[number].is_due and number not in known:
                        due = [i for i, trainer in enumerate(self.trainers) if trainer.is_due]
                        known = self.scoring.validations(due, at_once)
                error = self._handle(event, known.pop(event.member, None))
                if error is not None:
                    ended[event.member] = error
                    members[event.member].stopped = True
        return at_once

    def _finish(self, at_once: int, ended: dict[int, JsonObject | DivergedError]) -> None:
        """Score those that have not `ended`."""
        left = [i for i in range(len(self.trainers)) if i not in ended]
        for members in self.scoring.alike(left):
            for start in range(0, len(members), at_once):
                some = members[start : start + at_once]
                self.scoring.predict(some, at_once)
                for i in some:
                    ended[i] = self._tried(i, Trainer.finish)

    def _handle(self, event: FitEvent, validation: Validation | None) -> DivergedError | None:
        report = self.opened[event.member].report
        if isinstance(event, FewerAtOnce):
            report(Note(f"out of memory; from now on {event.at_once} at a time are trained together"))
            return None
        return self._tried(event.member, lambda trainer: trainer.handle(event, validation))

    def _tried(self, i: int, act: Callable[[Trainer], Result]) -> Result | DivergedError:
        """What it gives for the trainer of a member that stands alone on the net, or why the member diverged."""
        with self.family.alone(i):
            try:
                return act(self.trainers[i])
            except DivergedError as error:
                self.opened[i].report(Note(f"diverged: {error}"))
                self.opened[i].folder.write_divergence(error)
                return error


def _first_step(member: Member[Any]) -> list[Any]:
    """The examples of the first micro-batch of its first epoch."""
    batch = split_evenly(member.steps.order(0)[0], member.position.micro_batch_size)[0]
    return [member.steps.examples[i] for i in batch]
