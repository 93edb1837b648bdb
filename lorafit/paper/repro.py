"""Jobs -> run folders. Every job is a process of its own, several run at a time, and what is finished stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lorafit.errors import RUN_AGAIN, InterruptedRunError
from lorafit.paper.jobs import Job

Status = Literal["finished before", "done", "failed", "not tried", "interrupted"]

_POLL_S = 0.2
_MISTAKE = "error: "  # how the command line begins the lines of an error


@dataclass(frozen=True)
class JobStarted:
    """A process runs the job. `number` is its place among all jobs, from 1."""

    job: Job
    number: int


@dataclass(frozen=True)
class JobOutput:
    """A line that the job's process wrote."""

    job: Job
    line: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended. "not tried": the run that it needs failed. `error` and `exit_code` are those of a failed run."""

    job: Job
    status: Status
    seconds: float = 0.0
    error: str = ""
    exit_code: int = 0


JobEvent = JobStarted | JobOutput | Outcome


def log_path(job: Job) -> Path:
    """Where a job's process writes everything that it says: beside the run folder."""
    return job.output.with_name(f"{job.output.name}.log.txt")


def run_jobs(
    jobs: Sequence[Job],
    command: Callable[[Job], Sequence[str]],
    num_slots: int,
    stop: Callable[[], str | None],
) -> Iterator[JobEvent]:
    """Run what is not finished, up to `num_slots` processes at a time; `command` is what trains a job.

    A failed run ends nothing but the runs that need it. When `stop` gives a reason, or one run is interrupted by
    something else, the running processes are asked to save and stop; then InterruptedRunError is raised.
    """
    finished = {job.output for job in jobs if job.state() == "finished"}
    yield from (Outcome(job, "finished before") for job in jobs if job.output in finished)
    waiting = [(number, job) for number, job in enumerate(jobs, start=1) if job.output not in finished]
    schedule = _Schedule(waiting, command, _environments(num_slots))
    try:
        while schedule.waiting or schedule.running:
            schedule.stop_if_asked(stop)
            yield from schedule.collect()
            yield from schedule.start_ready()
            time.sleep(_POLL_S if schedule.running else 0)
    finally:
        schedule.terminate()
    if schedule.stopped_by:
        raise InterruptedRunError(f"interrupted ({schedule.stopped_by})", RUN_AGAIN)


class _Schedule:
    """Jobs that wait, processes that run, and free slots. A slot is what its processes have in their environment."""

    def __init__(
        self,
        waiting: list[tuple[int, Job]],
        command: Callable[[Job], Sequence[str]],
        free: list[dict[str, str]],
    ) -> None:
        self.waiting, self.command, self.free = waiting, command, free
        self.running: list[_Process] = []
        self.broken: set[Path] = set()  # run folders without a result
        self.stopped_by: str | None = None

    def stop_if_asked(self, stop: Callable[[], str | None]) -> None:
        """Start nothing more and ask the running processes to stop, once."""
        if self.stopped_by is None and (reason := stop()):
            self._stop(reason)

    def start_ready(self) -> Iterator[JobStarted | Outcome]:
        """Start the jobs that wait for no other one, as long as a slot is free."""
        pending = {job.output for _, job in self.waiting} | {process.job.output for process in self.running}
        for number, job in list(self.waiting):
            if job.needs and job.needs.output in self.broken:
                self.waiting.remove((number, job))
                self.broken.add(job.output)
                yield Outcome(job, "not tried")
            elif self.free and not (job.needs and job.needs.output in pending):
                self.waiting.remove((number, job))
                self.running.append(_Process(job, self.command(job), self.free.pop(0)))
                yield JobStarted(job, number)

    def collect(self) -> Iterator[JobOutput | Outcome]:
        """What the processes wrote, and how those ended that have."""
        for process in list(self.running):
            code = process.popen.poll()
            yield from (JobOutput(process.job, line) for line in process.new_lines())
            if code is None:
                continue
            self.running.remove(process)
            self.free.append(process.environment)
            outcome = process.outcome(code, was_stopped=self.stopped_by is not None)
            if outcome.status != "done":
                self.broken.add(process.job.output)
            if outcome.status == "interrupted" and self.stopped_by is None:
                self._stop(process.job.title)
            yield outcome

    def _stop(self, reason: str) -> None:
        self.stopped_by = reason
        self.waiting.clear()
        for process in self.running:
            process.popen.terminate()

    def terminate(self) -> None:
        """End the processes that still run: there are some only when the caller gave up."""
        for process in self.running:
            process.popen.terminate()
        for process in self.running:
            process.popen.wait()


class _Process:
    """A running job, whose output goes to its log."""

    def __init__(self, job: Job, command: Sequence[str], environment: dict[str, str]) -> None:
        self.job, self.environment = job, environment
        self.log, self._num_read = log_path(job), 0
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        with self.log.open("wb") as stream:
            self.popen = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | environment
            )

    def new_lines(self) -> list[str]:
        """The whole lines that were written since the last call."""
        with self.log.open("rb") as stream:
            stream.seek(self._num_read)
            lines, newline, _ = stream.read().rpartition(b"\n")
        self._num_read += len(lines + newline)
        return lines.decode(errors="replace").splitlines()

    def outcome(self, code: int, *, was_stopped: bool) -> Outcome:
        """How the process ended. `was_stopped`: it was asked to stop, maybe too early for a clean end."""
        seconds = time.monotonic() - self._began
        if code == 0:
            return Outcome(self.job, "done", seconds)
        if was_stopped or code == InterruptedRunError.exit_code:
            return Outcome(self.job, "interrupted", seconds)
        return Outcome(self.job, "failed", seconds, self._error(code), max(code, 1))

    def _error(self, code: int) -> str:
        """The error at the end of the log: the lines of a user's mistake, else the last line."""
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        mistakes = [line.removeprefix(_MISTAKE) for line in lines if line.startswith(_MISTAKE)]
        return "\n".join(mistakes or lines[-1:]) or f"exit code {code}"


def _environments(num_slots: int) -> list[dict[str, str]]:
    """For every slot, what its processes' environment has besides ours: a share of the cores, and a GPU in turn."""
    if num_slots == 1:
        return [{}]
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _num_cores() // num_slots))
    gpus = _gpus()
    return [
        {"OMP_NUM_THREADS": threads} | ({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {})
        for slot in range(num_slots)
    ]


def _num_cores() -> int:
    """The cores that this process may use: on a cluster fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
