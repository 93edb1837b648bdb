"""Jobs -> run folders. Jobs that differ in the seed alone share a process and a base; several processes run at a time,
and what is finished stays."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorafit.errors import RUN_AGAIN, Advice, InterruptedRunError, RecipeError, Remedy, SetArgument
from lorafit.paper.jobs import Job

_POLL_S = 0.2
_OF_SEVERAL = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"})
"""By these torchrun and srun say that a process is one of several; those of the jobs are not."""
_ERROR = "error: "  # how the command line begins each line of an error


Status = Literal["finished before", "done", "failed", "not tried", "interrupted"]


@dataclass(frozen=True)
class JobStarted:
    """A process runs the job."""

    job: Job


@dataclass(frozen=True)
class JobOutput:
    """A line that the job's process wrote."""

    job: Job
    line: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended. "not tried": the run that it needs failed. `error` and `exit_code` are those of a failed run;
    `log` is the file with everything that was said."""

    job: Job
    status: Status
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0
    remedies: tuple[Remedy, ...] = ()
    log: Path | None = None


JobEvent = JobStarted | JobOutput | Outcome


Command = Callable[[Sequence[Job]], Sequence[str]]
"""What trains jobs that differ in the seed alone."""


def log_path(job: Job) -> Path:
    """Where a process writes everything that it says: beside the run folder of its first job."""
    return job.output.with_name(f"{job.output.name}.log.txt")


def run_jobs(
    jobs: Sequence[Job],
    command: Command,
    num_slots: int,
    stop: Callable[[], str | None],
    *,
    show_anyway: bool = False,
    local_rank: int | None = None,
) -> Generator[JobEvent, None, None]:
    """Run what is not finished, up to `num_slots` processes at a time. Jobs of one family (see `Job.family`) share
    processes, no more of them than leave every slot its share.

    `local_rank`: the number on its machine of one of several processes, each of which calls this with its own jobs.

    A finished run whose data, base or start have changed since counts as failed, unless `show_anyway`. A failed run
    ends nothing but the runs that need it. When `stop` gives a reason, or one run is interrupted by something else, the
    running processes are asked to save and stop; then InterruptedRunError is raised.
    """
    schedule = _Schedule(list(jobs), command, _slots(num_slots, local_rank), show_anyway)
    try:
        while schedule.waiting or schedule.ready or schedule.running:
            schedule.stop(stop())
            yield from schedule.collect()
            yield from schedule.start_ready()
            time.sleep(_POLL_S if schedule.running else 0)
    finally:  # some still run only where the caller has given up
        for process in schedule.running:
            process.popen.terminate()
        for process in schedule.running:
            process.popen.wait()
    if schedule.stopped_by:
        raise InterruptedRunError(f"interrupted ({schedule.stopped_by})", RUN_AGAIN)


@dataclass
class _Schedule:
    """Jobs that wait, free slots, and processes that run. A slot is what its processes have in their environment."""

    waiting: list[Job]
    command: Command
    free: list[dict[str, str]]
    show_anyway: bool
    ready: list[Job] = field(default_factory=list)  # wait for nothing but a slot
    running: list[_Process] = field(default_factory=list)
    broken: set[Job] = field(default_factory=set)  # without a result
    stopped_by: str | None = None

    def stop(self, reason: str | None) -> None:
        """With a reason, start nothing more and ask the running processes to stop, once."""
        if reason and not self.stopped_by:
            self.stopped_by = reason
            self.waiting.clear()
            self.ready.clear()
            for process in self.running:
                process.popen.terminate()

    def start_ready(self) -> Iterator[JobEvent]:
        """Start what waits for no other job, as long as a slot is free."""
        yield from self._find_ready()
        while self.ready and self.free:
            family = self._next_family()
            self.ready = [job for job in self.ready if job not in family]
            self.running.append(_Process(family, self.command(family), self.free.pop(0)))
            yield from map(JobStarted, family)

    def _find_ready(self) -> Iterator[JobEvent]:
        """Of the jobs that wait for no other one, those to be run; how the others ended."""
        pending = {*self.waiting, *self.ready, *(job for process in self.running for job in process.jobs)}
        for job in [job for job in self.waiting if job.needs not in pending]:
            self.waiting.remove(job)
            state = "to run" if job.needs in self.broken else job.state()
            if job.needs in self.broken:
                self.broken.add(job)
                yield Outcome(job, "not tried")
            elif state == "finished" or (state == "changed" and self.show_anyway):
                yield Outcome(job, "finished before")
            elif state == "changed":
                self.broken.add(job)
                yield _refused(job)
            else:
                self.ready.append(job)

    def _next_family(self) -> list[Job]:
        """Jobs for one process: all of the first one's family, or its share of them where there are several slots."""
        family = [job for job in self.ready if job.family == self.ready[0].family]
        return family[: math.ceil(len(family) / (len(self.free) + len(self.running)))]

    def collect(self) -> Iterator[JobEvent]:
        """What the processes wrote, and how the jobs of those ended that have."""
        for process in list(self.running):
            code = process.popen.poll()
            yield from process.new_output()
            if code is None:
                continue
            self.running.remove(process)
            self.free.append(process.slot)
            for outcome in process.outcomes(code, was_stopped=self.stopped_by is not None):
                if outcome.status != "done":
                    self.broken.add(outcome.job)
                if outcome.status == "interrupted":
                    self.stop(f"{outcome.job.title} was interrupted")
                yield outcome


def _refused(job: Job) -> Outcome:
    """The outcome of a finished run that is not this one any more."""
    changed = ", ".join(job.changed_inputs())
    remedies = (Advice("delete it"), SetArgument("show_anyway", True, "takes it as it is"))
    error = f"{job.output}: holds a finished run of other inputs (changed since: {changed})"
    return Outcome(job, "failed", error=error, exit_code=RecipeError.exit_code, remedies=remedies)


class _Process:
    """Running jobs of one family, whose output goes to one log."""

    def __init__(self, jobs: Sequence[Job], command: Sequence[str], slot: dict[str, str]) -> None:
        self.jobs, self.slot, self.log = jobs, slot, log_path(jobs[0])
        self._began, self._num_read = time.monotonic(), 0
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            alone = {name: value for name, value in os.environ.items() if name not in _OF_SEVERAL}
            self.popen = subprocess.Popen(command, stdout=log, stderr=log, env=alone | slot)

    def new_output(self) -> Iterator[JobOutput]:
        """The whole lines that were written since the last call; what is said of no job in particular, of the first."""
        with self.log.open("rb") as log:
            log.seek(self._num_read)
            lines, newline, _ = log.read().rpartition(b"\n")
        self._num_read += len(lines + newline)
        of_seed = {f"seed {job.seed}": job for job in self.jobs}
        for line in lines.decode(errors="replace").splitlines():
            name, _, said = line.partition(": ")
            job = of_seed.get(name) if len(self.jobs) > 1 else None
            yield JobOutput(self.jobs[0], line) if job is None else JobOutput(job, said)

    def outcomes(self, code: int, *, was_stopped: bool) -> list[Outcome]:
        """How the jobs ended; of several, one may have ended well though the process did not."""
        if code == 0:
            return [self._outcome(job, "done") for job in self.jobs]
        done = [job for job in self.jobs if len(self.jobs) > 1 and job.state() == "finished"]
        if (
            was_stopped or code == InterruptedRunError.exit_code
        ):  # asked to stop, maybe too early for a clean end
            return [self._outcome(job, "done" if job in done else "interrupted") for job in self.jobs]
        error = self._error(code)
        return [
            self._outcome(job, "done") if job in done else self._outcome(job, "failed", error, max(code, 1))
            for job in self.jobs
        ]

    def _outcome(self, job: Job, status: Status, error: str = "", exit_code: int = 0) -> Outcome:
        return Outcome(job, status, time.monotonic() - self._began, error, exit_code, log=self.log)

    def _error(self, code: int) -> str:
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        return "\n".join(errors or [line for line in lines if line.strip()][-1:])


def _slots(count: int, local_rank: int | None) -> list[dict[str, str]]:
    """Where several runs go on at a time, a share of the cores and a GPU in turn, as environment variables."""
    if count == 1 and local_rank is None:
        return [{}]
    import torch

    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, torch.get_num_threads() // count))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = range(torch.cuda.device_count()) if named is None else named.split(",")
    first = (local_rank or 0) * count
    gpu_of = [
        {"CUDA_VISIBLE_DEVICES": str(gpus[(first + slot) % len(gpus)])} if gpus else {}
        for slot in range(count)
    ]
    return [{"OMP_NUM_THREADS": threads} | gpu for gpu in gpu_of]
