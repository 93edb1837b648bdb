"""Jobs -> run folders. Every job is a process of its own, several run at a time, and what is finished stays."""

from __future__ import annotations

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
_ERROR = "error: "  # how the command line begins each line of an error


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
    """How a job ended. "not tried": the run that it needs failed. `error` and `exit_code` are those of a failed run."""

    job: Job
    status: Literal["finished before", "done", "failed", "not tried", "interrupted"]
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0
    remedies: tuple[Remedy, ...] = ()


JobEvent = JobStarted | JobOutput | Outcome


def log_path(job: Job) -> Path:
    """Where a job's process writes everything that it says: beside the run folder."""
    return job.output.with_name(f"{job.output.name}.log.txt")


def run_jobs(
    jobs: Sequence[Job],
    command: Callable[[Job], Sequence[str]],
    num_slots: int,
    stop: Callable[[], str | None],
    *,
    show_anyway: bool = False,
) -> Generator[JobEvent, None, None]:
    """Run what is not finished, up to `num_slots` processes at a time; `command` is what trains a job.

    A finished run whose data, base or start have changed since counts as failed, unless `show_anyway`. A failed run
    ends nothing but the runs that need it. When `stop` gives a reason, or one run is interrupted by something else, the
    running processes are asked to save and stop; then InterruptedRunError is raised.
    """
    schedule = _Schedule(list(jobs), command, _slots(num_slots), show_anyway)
    try:
        while schedule.waiting or schedule.running:
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
    command: Callable[[Job], Sequence[str]]
    free: list[dict[str, str]]
    show_anyway: bool
    running: list[_Process] = field(default_factory=list)
    broken: set[Job] = field(default_factory=set)  # without a result
    stopped_by: str | None = None

    def stop(self, reason: str | None) -> None:
        """With a reason, start nothing more and ask the running processes to stop, once."""
        if reason and not self.stopped_by:
            self.stopped_by = reason
            self.waiting.clear()
            for process in self.running:
                process.popen.terminate()

    def start_ready(self) -> Iterator[JobEvent]:
        """Start the jobs that wait for no other one, as long as a slot is free."""
        pending = {*self.waiting, *(process.job for process in self.running)}
        for job in [job for job in self.waiting if job.needs not in pending]:
            if not self.free:
                return
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
                self.running.append(_Process(job, self.command(job), self.free.pop(0)))
                yield JobStarted(job)

    def collect(self) -> Iterator[JobEvent]:
        """What the processes wrote, and how those ended that have."""
        for process in list(self.running):
            code = process.popen.poll()
            yield from (JobOutput(process.job, line) for line in process.new_lines())
            if code is None:
                continue
            self.running.remove(process)
            self.free.append(process.slot)
            outcome = process.outcome(code, was_stopped=self.stopped_by is not None)
            if outcome.status != "done":
                self.broken.add(process.job)
            if outcome.status == "interrupted":
                self.stop(f"{process.job.title} was interrupted")
            yield outcome


def _refused(job: Job) -> Outcome:
    """The outcome of a finished run that is not this one any more."""
    changed = ", ".join(job.changed_inputs())
    remedies = (Advice("delete it"), SetArgument("show_anyway", True, "takes it as it is"))
    error = f"{job.output}: holds a finished run of other inputs (changed since: {changed})"
    return Outcome(job, "failed", error=error, exit_code=RecipeError.exit_code, remedies=remedies)


class _Process:
    """A running job, whose output goes to its log."""

    def __init__(self, job: Job, command: Sequence[str], slot: dict[str, str]) -> None:
        self.job, self.slot, self.log = job, slot, log_path(job)
        self._began, self._num_read = time.monotonic(), 0
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | slot)

    def new_lines(self) -> list[str]:
        """The whole lines that were written since the last call."""
        with self.log.open("rb") as log:
            log.seek(self._num_read)
            lines, newline, _ = log.read().rpartition(b"\n")
        self._num_read += len(lines + newline)
        return lines.decode(errors="replace").splitlines()

    def outcome(self, code: int, *, was_stopped: bool) -> Outcome:
        """How the process ended. `was_stopped`: it was asked to stop, maybe too early for a clean end."""
        seconds = time.monotonic() - self._began
        if code == 0:
            return Outcome(self.job, "done", seconds)
        if was_stopped or code == InterruptedRunError.exit_code:
            return Outcome(self.job, "interrupted", seconds)
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        if code < 0:
            errors = [f"ended by {signal.Signals(-code).name}"]
        error = "\n".join(errors or [line for line in lines if line.strip()][-1:])
        return Outcome(self.job, "failed", seconds, error, max(code, 1))


def _slots(count: int) -> list[dict[str, str]]:
    """For several slots, a share of the cores and a GPU in turn, as environment variables."""
    if count == 1:
        return [{}]
    import torch

    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, torch.get_num_threads() // count))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = range(torch.cuda.device_count()) if named is None else named.split(",")
    gpu_of = [{"CUDA_VISIBLE_DEVICES": str(gpus[slot % len(gpus)])} if gpus else {} for slot in range(count)]
    return [{"OMP_NUM_THREADS": threads} | gpu for gpu in gpu_of]
