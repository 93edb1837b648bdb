"""Run the command line in several processes at once, from one interpreter that has imported everything already.

Reads scenarios as JSON from stdin and writes what came of each to stdout. Every process is a fork that has computed
nothing before, with the environment that torchrun would give it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from lorafit.__main__ import main
from tests.conftest import ROOT


def start(arguments: list[str], place: dict[str, str], out: Path) -> int:
    """Fork a process that is `lorafit` with these arguments; its output goes to `out`.{out,err}."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        os.environ.update(place)
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(out.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.argv = ["lorafit", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def carry_out(scenario: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Start the processes, signal some of them after a step, and wait for all."""
    size = scenario["size"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    outs = [folder / f"{scenario['name']}-{rank}" for rank in range(size)]
    children = [
        start(scenario["arguments"], {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, out)
        for rank, out in enumerate(outs)
    ]
    if "signal" in scenario:
        wait_for_step(Path(scenario["metrics"]), scenario["after_step"])
        os.kill(children[scenario["to"]], getattr(signal, scenario["signal"]))
    signalled = time.monotonic()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return {
        "codes": codes,
        "seconds": time.monotonic() - signalled,
        "out": [out.with_suffix(".out").read_text() for out in outs],
        "err": [out.with_suffix(".err").read_text() for out in outs],
    }


def outcomes_of(scenarios: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What came of each, carried out one after the other by an interpreter of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ranks", str(folder)],
        input=json.dumps(scenarios),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def wait_for_step(metrics: Path, step: int) -> None:
    """Until the event log has that step."""
    for _ in range(6000):
        if metrics.is_file() and f'"event": "step", "step": {step},' in metrics.read_text():
            return
        time.sleep(0.005)
    raise TimeoutError(f"{metrics}: no step {step}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = [carry_out(scenario, Path(sys.argv[1])) for scenario in json.load(sys.stdin)]
    json.dump(results, sys.stdout)
