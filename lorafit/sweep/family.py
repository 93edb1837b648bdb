"""Several runs on one base, together: each leaves the run folder that it would leave alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, TypeVar

import torch

from lorafit.data.batches import split_evenly
from lorafit.errors import RUN_AGAIN, DivergedError, InterruptedRunError, RecipeError
from lorafit.files import JsonObject
from lorafit.lora import Draws, Members
from lorafit.models import draw_head
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives import Prediction
from lorafit.run.evaluator import notes_on_metrics
from lorafit.run.events import Note, OfMember, Report
from lorafit.run.folder import RunFolder, finished_result
from lorafit.run.lock import locked
from lorafit.run.opened import EarlyNotes, OpenRun
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan
from lorafit.run.session import Session, load, make_member
from lorafit.run.train import TrainResult, train, train_result
from lorafit.run.trainer import Trainer
from lorafit.sweep.groups import Group, group
from lorafit.sweep.proof import is_proven_equal
from lorafit.sweep.room import keep_freed_memory, room_for
from lorafit.training import FewerAtOnce, FitEvent, Member, ProcessGroup, fit, recompute_activations

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A run of the family: what it is called in messages, its plan, and its folder."""

    name: str
    plan: Plan
    folder: Path | None = None

    @property
    def run(self) -> RunFolder:
        """Where its files are."""
        return RunFolder.of(self.plan.recipe, self.folder)


Outcome = TrainResult | DivergedError
"""What became of a run: its result, or why it ended before."""


@dataclass(frozen=True)
class FamilyOptions:
    """How a family is trained. `at_once`: members in one row; None: as many as memory has room for."""

    train: TrainOptions = field(default_factory=TrainOptions)
    at_once: int | None = None


def train_family(
    jobs: Sequence[Job], options: FamilyOptions, report: Report, processes: ProcessGroup
) -> list[Outcome]:
    """Train every job that is not finished; those that share a base, on one. Returns what became of each, in order.

    Raises the LorafitError of whatever goes wrong but a run that diverges, which ends alone. InterruptedRunError when
    asked to stop: every run has a checkpoint then, and the same call goes on.
    """
    outcomes: dict[int, Outcome] = {}
    for number, job in enumerate(jobs):
        tell = _told(job, report)
        found = processes.on_leader(partial(_finished, job, options.train, tell))
        if found is not None:
            outcomes[number] = train_result(job.run, found, job.plan.scored_split, already_finished=True)
    waiting = [number for number in range(len(jobs)) if number not in outcomes]
    for each in group([jobs[number].plan for number in waiting]):
        numbers = [waiting[member] for member in each.members]
        family = _Family([jobs[number] for number in numbers], each, options, report, processes)
        outcomes |= zip(numbers, family.train(), strict=True)
    return [outcomes[number] for number in range(len(jobs))]


@dataclass(frozen=True)
class _Family:
    """Jobs of one group."""

    jobs: Sequence[Job]
    group: Group
    options: FamilyOptions
    report: Report
    processes: ProcessGroup

    def train(self) -> list[Outcome]:
        """What became of each."""
        if self.group.way == "apart":
            return [self._alone(job) for job in self.jobs]
        with ExitStack() as stack:
            for job in self.jobs:
                self.processes.on_leader(partial(stack.enter_context, locked(job.run.path)))
            opened = self._open(stack)
            with clear_out_of_memory(self.jobs[0].run.path.parent):
                members = _on_one_base(opened, self.processes)
                if self._is_together(members):
                    scores = members.train_together(self._at_once(members))
                else:
                    scores = members.train_in_turns()
        return [
            each if isinstance(each, DivergedError) else train_result(job.run, each, job.plan.scored_split)
            for job, each in zip(self.jobs, scores, strict=True)
        ]

    def _alone(self, job: Job) -> Outcome:
        tell = _told(job, self.report)
        try:
            return train(job.plan, job.folder, tell, self.options.train, self.processes)
        except DivergedError as error:
            tell(Note(f"diverged: {error}"))
            return error

    def _open(self, stack: ExitStack) -> list[OpenRun]:
        """Every run on the base, in the number format in which those that were begun have begun."""
        first, early = self.jobs[0].plan, EarlyNotes(self.report)
        for note in self.processes.on_leader(lambda: notes_on_metrics(first.objective)):
            early(note)
        base = self.processes.leader_first(lambda: load(first, early))
        options, processes, of_base = self.options.train, self.processes, dict[str, list[Prediction]]()
        opened = []
        for job in self.jobs:
            own = base.for_member(job.plan)
            tell = _told(job, self.report)
            run = OpenRun.open(job.plan, own, job.run, tell, options, processes, stack)
            early.write(run)
            opened.append(run if base.model.fresh else replace(run, of_base=of_base))
        begun = [each for each in opened if each.found.checkpoint is not None]
        if not begun:
            return opened
        checkpoint = begun[0].found.checkpoint
        state = checkpoint.state if checkpoint is not None else {}
        opened = [each if each in begun else replace(each, base=each.base.going_on(state)) for each in opened]
        if len(formats := {each.base.model.placement.dtype_name for each in opened}) > 1:
            raise RecipeError(
                f"{self.jobs[0].run.path.parent}: some of the runs began in {' and some in '.join(sorted(formats))}; "
                f"finish them one by one with 'lorafit train'"
            )
        return opened

    def _is_together(self, members: _OneBase) -> bool:
        """Whether they are trained together, which is tried first."""
        if self.group.way == "in turns":
            return False
        base = members.opened[0].base
        if is_proven_equal(base.model, base.objective, members.family, members.members):
            return True
        self.report(Note("this base does not read stretches of several members alike, so they take turns"))
        return False

    def _at_once(self, members: _OneBase) -> int:
        """As many as were asked for, or as memory has room for in all processes."""
        if self.options.at_once is not None:
            return self.options.at_once
        count = len(self.jobs)
        room = min(self.processes.all_gather(members.room() or count))
        if room < count:
            self.report(Note(f"memory has room for {room} of the {count} runs at once; the others wait"))
        return min(room, count)


@dataclass(frozen=True)
class _OneBase:
    """Runs whose members stand ready on one net."""

    family: Members
    opened: Sequence[OpenRun]
    trainers: Sequence[Trainer]
    processes: ProcessGroup

    @property
    def members(self) -> list[Member[Any]]:
        """What trains, in order."""
        return [trainer.session.member for trainer in self.trainers]

    def train_in_turns(self) -> list[JsonObject | DivergedError]:
        """The scores of each, or why it diverged."""
        return [self._tried(i, methodcaller("run", each.found)) for i, each in enumerate(self.opened)]

    def train_together(self, at_once: int) -> list[JsonObject | DivergedError]:
        """The scores of each, or why it diverged."""
        keep_freed_memory()
        for i, trainer in enumerate(self.trainers):
            with self.family.alone(i):
                trainer.begin(self.opened[i].found)
        finished: dict[int, JsonObject | DivergedError] = {}
        try:
            finished |= self._fit(at_once)
            for i in range(len(self.trainers)):
                if i not in finished:
                    finished[i] = self._tried(i, Trainer.finish)
        except InterruptedRunError as error:
            reason = self.processes.stop() or str(error)
            unfinished = [i for i in range(len(self.trainers)) if i not in finished]
            for i in unfinished:
                with self.family.alone(i):
                    self.trainers[i].save()
            where = self.opened[0].folder.path.parent
            fault = f"{where}: {len(unfinished)} runs stopped, each with a checkpoint ({reason})"
            raise InterruptedRunError(fault, RUN_AGAIN) from None
        return [finished[i] for i in range(len(self.trainers))]

    def room(self) -> int | None:
        """How many members memory has room for, by the longest of their first steps; None where that is not known."""
        base, members = self.opened[0].base, self.members
        steps = [_first_step(member) for member in members]
        lengths = [sum(len(base.objective.inputs(example)) for example in step) for step in steps]
        number = lengths.index(max(lengths))
        member = members[number]
        before = member.draws.state()

        def step() -> None:
            batch = base.objective.collate([steps[number]])
            base.objective.loss_sums(base.model, batch, [0.0]).sum().backward()

        with self.family.alone(number), base.model.placement.autocast():
            base.model.net.train()
            try:
                found = room_for(step, base.model.device)
            except torch.OutOfMemoryError:
                found = 1
        member.optimizer.zero_grad(set_to_none=True)
        member.draws.set_state(before)
        return found

    def _fit(self, at_once: int) -> dict[int, JsonObject | DivergedError]:
        """Train them to their ends. Returns those that diverged."""
        base, failed = self.opened[0].base, dict[int, JsonObject | DivergedError]()
        members = self.members
        with self.family.together(), base.model.placement.autocast():
            base.model.net.train()
            for event in fit(base.model, members, base.objective, self.processes, at_once):
                error = self._handle(event)
                if error is not None:
                    failed[event.member] = error
                    members[event.member].stopped = True
        return failed

    def _handle(self, event: FitEvent) -> DivergedError | None:
        report = self.opened[event.member].report
        if isinstance(event, FewerAtOnce):
            report(Note(f"out of memory; from now on {event.at_once} at a time are trained together"))
            return None
        return self._tried(event.member, lambda trainer: trainer.handle(event))

    def _tried(self, i: int, act: Callable[[Trainer], Result]) -> Result | DivergedError:
        """What it gives for the trainer of a member that stands alone on the net, or why the member diverged."""
        with self.family.alone(i):
            try:
                return act(self.trainers[i])
            except DivergedError as error:
                self.opened[i].report(Note(f"diverged: {error}"))
                return error


def _on_one_base(opened: Sequence[OpenRun], processes: ProcessGroup) -> _OneBase:
    """The method of each run on the base, every one with its own draws, as if the run had loaded the base itself."""
    model = opened[0].base.model
    family, states = Members(model.net, model.net.base_model), []
    for each in opened:
        section = each.plan.recipe.train
        draw_head(model.net, model.fresh, torch.Generator().manual_seed(section.seed))
        states.append(each.begin())
        draws = Draws(section.seed, processes.rank)
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
    return _OneBase(family, opened, trainers, processes)


def _first_step(member: Member[Any]) -> list[Any]:
    """The examples of the first micro-batch of its first epoch."""
    batch = split_evenly(member.steps.order(0)[0], member.position.micro_batch_size)[0]
    return [member.steps.examples[i] for i in batch]


def _finished(job: Job, options: TrainOptions, report: Report) -> JsonObject | None:
    return finished_result(job.run, job.plan.recipe, job.plan.rows, options, report)


def _told(job: Job, report: Report) -> Report:
    """What happens to the job is told under its name."""
    return lambda event: report(OfMember(job.name, event))
