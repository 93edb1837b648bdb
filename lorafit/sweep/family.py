"""Several runs on one base, together: each leaves the run folder that it would leave alone.

With several processes (`torchrun`, `srun`) each trains members of its own; rows are shared only where there are more
processes than members, or where the base itself is sharded.
"""

from __future__ import annotations

import itertools
import math
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lorafit.errors import DivergedError, InterruptedRunError, LorafitError, RecipeError, SetArgument
from lorafit.models.placement import Placement, clear_out_of_memory, free_memory
from lorafit.objectives import Prediction
from lorafit.run.evaluator import notes_on_metrics
from lorafit.run.events import Note, OfMember, Report
from lorafit.run.files.folder import RunFolder, finished_result
from lorafit.run.files.lock import locked
from lorafit.run.opened import EarlyNotes, OpenRun
from lorafit.run.options import TrainOptions
from lorafit.run.plan import Plan
from lorafit.run.session import load
from lorafit.run.train import TrainResult, train, train_result
from lorafit.sweep.groups import Group, shared_out
from lorafit.sweep.one_base import OneBase
from lorafit.sweep.ready import most_ready
from lorafit.training import ProcessGroup


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
    """Train every job that has not ended; those that share a base, on one. Returns what became of each, in order.

    Raises the LorafitError of whatever goes wrong but a run that diverges, which ends alone. InterruptedRunError when
    asked to stop: every run has a checkpoint then, and the same call goes on.
    """
    outcomes: dict[int, Outcome] = {}
    for number, job in enumerate(jobs):
        found = processes.on_leader(partial(_ended, job, options.train, _told(job, report)))
        if found is not None:
            outcomes[number] = found
    waiting = [number for number in range(len(jobs)) if number not in outcomes]
    sharing = processes.all_gather(_memory()).count(_memory())
    shares = shared_out([jobs[number].plan for number in waiting], processes)
    if waiting and processes.size > 1:
        report(Note(_shares_note(len(waiting), processes.size)))
    mine, error = dict[int, Outcome](), None
    try:
        for each, own in shares:
            numbers = [waiting[member] for member in each.members]
            family = _Family([jobs[number] for number in numbers], each, options, report, own, sharing)
            trained = zip(numbers, family.train(), strict=True)
            mine |= trained if own.is_leader else ()
    except LorafitError as raised:
        error = raised
    except SystemExit:  # processes that share rows: their leader tells what is wrong
        pass
    for others, others_error in processes.all_gather((mine, error)):
        outcomes |= others
        error = _graver(error, others_error)
    if error is not None:
        processes.on_leader(partial(_raise, error))
    return [outcomes[number] for number in range(len(jobs))]


def _memory() -> tuple[str, str]:
    """Which memory this process uses: of which machine and device."""
    return socket.gethostname(), str(Placement.of("auto").device)


def _graver(error: LorafitError | None, other: LorafitError | None) -> LorafitError | None:
    """The one to tell: a mistake rather than a request to stop."""
    if error is None or other is None:
        return error or other
    return other if isinstance(error, InterruptedRunError) else error


def _raise(error: LorafitError) -> None:
    raise error


@dataclass(frozen=True)
class _Family:
    """Jobs of one group."""

    jobs: Sequence[Job]
    group: Group
    options: FamilyOptions
    report: Report
    processes: ProcessGroup
    sharing: int  # processes that share the memory of this device

    def train(self) -> list[Outcome]:
        """What became of each."""
        if self.group.way == "apart":
            return [self._alone(job) for job in self.jobs]
        free_memory()  # of the group before
        most, why = most_ready([job.plan for job in self.jobs], self.sharing)
        num_parts = math.ceil(len(self.jobs) / most)
        if num_parts > 1:
            self.report(
                Note(f"{len(self.jobs):,} runs are trained in {num_parts} parts, one after the other: {why}")
            )
        bounds = [len(self.jobs) * part // num_parts for part in range(num_parts + 1)]
        parts = [replace(self, jobs=self.jobs[start:stop]) for start, stop in itertools.pairwise(bounds)]
        return [outcome for part in parts for outcome in part._on_one_base()]

    def _on_one_base(self) -> list[Outcome]:
        if len(self.jobs) == 1:
            return [self._alone(self.jobs[0])]
        with ExitStack() as stack:
            for job in self.jobs:
                stack.enter_context(locked(job.run.path))
            opened = self._open(stack)
            with clear_out_of_memory(self.jobs[0].run.path.parent):
                members = OneBase.of(opened, self.processes, self.sharing)
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
        for note in notes_on_metrics(first.objective):
            early(note)
        base = load(first, early)
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

    def _is_together(self, members: OneBase) -> bool:
        """Whether they are trained together, which is tried first."""
        if self.group.way == "in turns":
            return False
        if not members.is_proven:
            self.report(
                Note("this base does not read stretches of several members alike, so they take turns")
            )
        return members.is_proven

    def _at_once(self, members: OneBase) -> int:
        """As many as were asked for, or as memory has room for."""
        if self.options.at_once is not None:
            return self.options.at_once
        count = len(self.jobs)
        room = members.room() or count
        if room < count:
            self.report(Note(f"memory has room for {room} of the {count} runs at once; the others wait"))
        return min(room, count)


def _ended(job: Job, options: TrainOptions, report: Report) -> Outcome | None:
    """What became of a run that is finished, or diverged before; None where there is something to train."""
    found = finished_result(job.run, job.plan.recipe, job.plan.rows, options, report)
    if found is not None:
        return train_result(job.run, found, job.plan.scored_split, already_finished=True)
    reason = None if options.resume == "never" or options.extend else job.run.divergence()
    if reason is None:
        return None
    report(Note(f"diverged before: {reason}"))
    return DivergedError(reason, SetArgument("resume", "never", "starts over"))


def _told(job: Job, report: Report) -> Report:
    """What happens to the job is told under its name."""
    return lambda event: report(OfMember(job.name, event))


def _shares_note(num_runs: int, num_processes: int) -> str:
    if num_runs >= num_processes:
        return f"{num_processes} processes share {num_runs} runs, and each trains its own"
    return f"{num_processes} processes share {num_runs} runs; those of one run share its rows"
