"""The command line in several processes at once, and in processes that are ended early."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support import warm


@dataclass(frozen=True)
class Scenario:
    """`lorafit ARGUMENTS` in `size` processes, each with the environment that torchrun would give it.

    `signal_name` goes to process `to` when the event log of the folder `run` has the step `after_step`.
    """

    arguments: tuple[str, ...]
    run: Path
    size: int = 1
    signal_name: str = ""
    to: int = -1
    after_step: int = 0


@dataclass(frozen=True)
class Ended:
    """How the processes of a scenario ended, and how long after the signal."""

    codes: list[int | None]
    seconds: float
    out: list[str]
    err: list[str]


def carry_out(scenario: Scenario, cwd: Path = warm.ROOT) -> Ended:
    """Start the processes, signal one of them, and wait for all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(scenario.size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(Path(os.devnull).open())
        outs, errs, processes = list[IO[str]](), list[IO[str]](), list[warm.Process]()
        for rank in range(scenario.size):
            outs.append(stack.enter_context(tempfile.TemporaryFile("w+")))
            errs.append(stack.enter_context(tempfile.TemporaryFile("w+")))
            place = {**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            process = warm.start(
                *scenario.arguments, stdin=nothing, stdout=outs[-1], stderr=errs[-1], cwd=cwd, env=place
            )
            processes.append(stack.enter_context(process))
        if scenario.signal_name:
            wait_for_step(cwd / scenario.run / "metrics.jsonl", scenario.after_step)
            processes[scenario.to].send_signal(getattr(signal, scenario.signal_name))
        signalled = time.monotonic()
        codes = [process.wait() for process in processes]
        return Ended(codes, time.monotonic() - signalled, [*map(_text, outs)], [*map(_text, errs)])


def carry_out_all(scenarios: Mapping[str, Scenario], cwd: Path = warm.ROOT) -> dict[str, Ended]:
    """One after the other."""
    return {name: carry_out(scenario, cwd) for name, scenario in scenarios.items()}


def _text(stream: IO[str]) -> str:
    stream.seek(0)
    return stream.read()


def wait_for_step(metrics: Path, step: int) -> None:
    """Until the event log has that step."""
    for _ in range(30_000):
        if metrics.is_file() and f'"event": "step", "step": {step},' in metrics.read_text():
            return
        time.sleep(0.002)
    raise TimeoutError(f"{metrics}: no step {step}")
