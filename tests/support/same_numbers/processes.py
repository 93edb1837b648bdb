"""The program in several processes at once, and in processes that are ended early.

`run_scenarios` starts one helper (this file, as a script) that has imported everything and computed nothing; every
process of the program is a fork of it, with the environment that torchrun would give it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorafit.__main__ import main


@dataclass(frozen=True)
class Scenario:
    """`lorafit ARGUMENTS` in `size` processes. `signal_name` goes to the last of them when `after_step` is logged."""

    arguments: tuple[str, ...]
    run: str
    size: int = 1
    signal_name: str = ""
    after_step: int = 0


@dataclass(frozen=True)
class Ended:
    """How the processes of a scenario ended."""

    codes: list[int]
    out: list[str]
    err: list[str]


def run_scenarios(root: Path, scenarios: dict[str, Scenario]) -> dict[str, Ended]:
    """One after the other, in the working folder `root`."""
    repository = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(repository), "XDG_CACHE_HOME": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.same_numbers.processes"],
        input=json.dumps([asdict(scenario) for scenario in scenarios.values()]),
        cwd=root,
        env=environment | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    return {name: Ended(**result) for name, result in zip(scenarios, results, strict=True)}


def _carry_out(scenario: Scenario) -> Ended:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = {"WORLD_SIZE": str(scenario.size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    Path("out").mkdir(exist_ok=True)
    logs = [Path(f"{scenario.run}-{rank}") for rank in range(scenario.size)]
    children = [
        _start(scenario.arguments, {**ranks, "RANK": str(rank), "LOCAL_RANK": str(rank)}, log)
        for rank, log in enumerate(logs)
    ]
    if scenario.signal_name:
        _wait_for_step(Path(scenario.run) / "metrics.jsonl", scenario.after_step)
        os.kill(children[-1], getattr(signal, scenario.signal_name))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    texts = [[log.with_suffix(suffix).read_text() for log in logs] for suffix in (".stdout", ".stderr")]
    return Ended(codes, *texts)


def _start(arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> int:
    """Fork a process that is `lorafit`; its output goes to files."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        os.environ.update(environment)
        for descriptor, suffix in ((1, ".stdout"), (2, ".stderr")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(log.with_suffix(suffix), flags), descriptor)
        sys.argv = ["lorafit", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _wait_for_step(metrics: Path, step: int) -> None:
    for _ in range(30_000):
        if metrics.is_file() and f'"event": "step", "step": {step},' in metrics.read_text():
            return
        time.sleep(0.002)
    raise TimeoutError(f"{metrics}: no step {step}")


def _import_all(arguments: tuple[str, ...]) -> None:
    """A dry run: it computes nothing, and what it imports need not be imported by every fork."""
    sys.argv = ["lorafit", *arguments, "--dry-run"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()


def _serve() -> None:
    """Scenarios as JSON on stdin, what came of them on the last line of stdout."""
    import torch

    torch.set_num_threads(1)
    scenarios = [Scenario(tuple(each.pop("arguments")), **each) for each in json.load(sys.stdin)]
    for arguments in {scenario.arguments[:2] for scenario in scenarios}:
        _import_all(arguments)
    sys.stdout.write(json.dumps([asdict(_carry_out(scenario)) for scenario in scenarios]) + "\n")


if __name__ == "__main__":
    _serve()
