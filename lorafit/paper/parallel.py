"""Jobs as processes of their own, several at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lorafit.errors import InterruptedRunError, LorafitError
from lorafit.paper.repro import Job, Outcome

_POLL_S = 0.2


@dataclass(frozen=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    log: Path
    begun: float
    slot: int


def run_in_processes(
    jobs: Sequence[Job], num_processes: int, started: Callable[[int, Job], None]
) -> Iterator[Outcome]:
    """Carry jobs out in up to `num_processes` processes; each writes its messages to `log.txt` beside its run folder.

    Every process gets its share of the cores, and a GPU of its own in turn. Raises InterruptedRunError when a run is
    interrupted; the others are stopped then, so that they can be resumed.
    """
    waiting, running = list(enumerate(jobs, start=1)), list[_Running]()
    ended: dict[Path, bool] = {}  # output -> whether it went well
    slots = set(range(num_processes))
    try:
        while waiting or running:
            for entry in _ready(waiting, ended):
                number, job = entry
                if job.needs and ended.get(job.needs.output) is False:
                    waiting.remove(entry)
                    ended[job.output] = False
                    yield Outcome(job, "not tried")
                elif not slots:
                    continue
                elif job.finished():
                    waiting.remove(entry)
                    ended[job.output] = True
                    yield Outcome(job, "finished before")
                else:
                    waiting.remove(entry)
                    started(number, job)
                    running.append(_start(job, slots.pop(), num_processes))
            for one in [r for r in running if r.process.poll() is not None]:
                running.remove(one)
                slots.add(one.slot)
                outcome = _outcome(one)
                ended[one.job.output] = outcome.error is None
                yield outcome
            time.sleep(_POLL_S if running else 0)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.wait()


def _ready(waiting: Sequence[tuple[int, Job]], ended: dict[Path, bool]) -> list[tuple[int, Job]]:
    return [(n, job) for n, job in waiting if job.needs is None or job.needs.output in ended]


def _start(job: Job, slot: int, num_processes: int) -> _Running:
    command = [sys.executable, "-m", "lorafit", "train", job.recipe, "--output", str(job.output)]
    for setting in job.settings():
        command += ["--set", setting]
    log = job.output.with_name(f"{job.output.name}.log.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    threads = max(1, (os.cpu_count() or 1) // num_processes)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    if torch.cuda.device_count() > 1 and "CUDA_VISIBLE_DEVICES" not in environment:
        environment["CUDA_VISIBLE_DEVICES"] = str(slot % torch.cuda.device_count())
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
    return _Running(job, process, log, time.monotonic(), slot)


def _outcome(one: _Running) -> Outcome:
    seconds = time.monotonic() - one.begun
    code = one.process.returncode
    if code == 0:
        return Outcome(one.job, "done", seconds)
    if code == InterruptedRunError.exit_code:
        raise InterruptedRunError(f"{one.job.output}: interrupted; run the same command again to go on")
    lines = [
        line for line in one.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
    ]
    said = lines[-1].removeprefix("error: ") if lines else f"exit code {code}"
    error = LorafitError(f"{said} (all of it: {one.log})")
    error.exit_code = code if code > 0 else 1  # type: ignore[misc]
    return Outcome(one.job, "failed", seconds, error)
