"""Kill a run with SIGKILL at random moments until it has had enough, let it finish, and compare with one never killed.

    python scripts/stress/kill_resume.py RECIPE --set model.base=... --kills 200 --seed 0 --folder /tmp/kills
    python scripts/stress/kill_resume.py RECIPE --grid train.learning_rate=1e-3,1e-2 --seeds 0 1   # a whole sweep
    python scripts/stress/kill_resume.py RECIPE --grid ... --seeds 0 1 --alone   # against each of its runs by itself

Adapters, optimizer, random generators, metrics.jsonl, predictions and scores must be equal bit for bit (on a CPU). Each
attempt is a forked child of this process, which has imported everything and computed nothing: a real process, started
in milliseconds. Exit code 0 when all is equal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lorafit.objectives  # noqa: F401 - else every child would import it
from lorafit.adapters import read_adapter
from lorafit.run.files.checkpoint import newest_checkpoint
from lorafit.run.files.paths import run_folders
from lorafit.run.options import TrainOptions
from lorafit.run.plan import load_plan
from lorafit.run.stop import StopRequest
from lorafit.run.train import train
from lorafit.sweep.family import FamilyOptions
from lorafit.sweep.grid import parse_axis
from lorafit.sweep.sweep import Axes, SweepPlan, plan_sweep, run_sweep
from lorafit.training import ProcessGroup

MEASURED = {"tokens_per_second", "seconds", "bytes", "memory_bytes"}
Work = Callable[[argparse.Namespace, Path], None]
OF_ATTEMPTS = {"note", "started"}  # events that every attempt has anew


def main() -> None:
    """Kill, finish, compare."""
    options = arguments()
    torch.set_num_threads(1)
    root = Path(options.folder or tempfile.mkdtemp(prefix="lorafit-kills-"))
    whole, killed = root / "whole", root / "killed"
    started = time.monotonic()
    expect(finish(options, whole), 0, "the run that nobody kills")
    length_s = time.monotonic() - started
    if options.alone:
        kills, where = 0, dict[str, int]()
        expect(finish(options, killed, one_by_one), 0, "the runs by themselves")
    else:
        kills, where = kill_often(options, killed, length_s)
        expect(finish(options, killed), 0, "the last run")
    faults = [] if len(runs(whole)) == len(runs(killed)) else ["other runs"]
    for ours, theirs in zip(runs(whole), runs(killed), strict=False):
        faults += differences(ours, theirs)
    stages = ", ".join(f"{stage} {count}" for stage, count in sorted(where.items()))
    print(f"{len(runs(whole))} runs, {kills} kills (newest step then: {stages}); together {length_s:.2f} s")
    print("\n".join(faults) or "equal: adapters, optimizer, generators, metrics, predictions, scores")
    if not options.folder:
        shutil.rmtree(root)
    sys.exit(bool(faults))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--grid", action="append", default=[], metavar="SECTION.KEY=VALUE,VALUE")
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--alone", action="store_true", help="kill nothing, but train every run of the sweep by itself"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the runs go, and stay; by default a temporary folder")
    return parser.parse_args()


def kill_often(options: argparse.Namespace, folder: Path, length_s: float) -> tuple[int, dict[str, int]]:
    """Kill `options.kills` attempts; a run that finishes before its time is begun anew. Returns how many, and where."""
    draw = random.Random(options.seed)
    kills, where = 0, dict[str, int]()
    stage, patience_s = "", length_s
    while kills < options.kills:
        child = start(options, folder)
        status = kill_after(child, draw.uniform(0.0, patience_s))
        if os.WIFSIGNALED(status):
            kills += 1
            before, stage = stage, newest_step(folder)
            patience_s = patience_s * 1.2 if stage == before else length_s  # the machine may be slower now
            where[stage] = where.get(stage, 0) + 1
        else:
            expect(os.waitstatus_to_exitcode(status), 0, "a run between two kills")
            shutil.rmtree(folder)
            patience_s = length_s
    return kills, where


def kill_after(child: int, seconds: float) -> int:
    """Kill a process when its time has come, unless it has ended by itself. Returns its status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def start(options: argparse.Namespace, folder: Path, work: Work | None = None) -> int:
    """Fork a process that trains, and return its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with StopRequest():
            (work or all_at_once)(options, folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)  # nothing of the parent is cleaned up here


def all_at_once(options: argparse.Namespace, folder: Path) -> None:
    """Train the run or, with a grid or seeds, the sweep."""
    if not options.grid and not options.seeds:
        plan = load_plan(options.recipe, options.overrides)
        train(plan, folder, lambda _: None, TrainOptions(), ProcessGroup())
        return
    run_sweep(planned(options, folder), FamilyOptions(), lambda _: None, ProcessGroup())


def one_by_one(options: argparse.Namespace, folder: Path) -> None:
    """Train every run of the sweep by itself."""
    for job in planned(options, folder).jobs:
        train(job.plan, job.folder, lambda _: None, TrainOptions(), ProcessGroup())


def planned(options: argparse.Namespace, folder: Path) -> SweepPlan:
    """The sweep."""
    grid = dict(map(parse_axis, options.grid))
    return plan_sweep(options.recipe, options.overrides, Axes(grid, options.seeds), folder)


def runs(folder: Path) -> list[Path]:
    """The run folders: the folder itself, or those of a sweep."""
    return sorted(run_folders(folder))


def finish(options: argparse.Namespace, folder: Path, work: Work | None = None) -> int:
    """Run to the end; the exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(options, folder, work), 0)[1])


def expect(code: int, wanted: int, who: str) -> None:
    """Stop with a message when a run ended otherwise."""
    if code != wanted:
        sys.exit(f"{who} ended with exit code {code}")


def newest_step(folder: Path) -> str:
    """The name of the newest checkpoint."""
    steps = [int(path.name.removeprefix("step-")) for path in folder.rglob("checkpoints/step-*")]
    return str(max(steps)) if steps else "none"


def differences(a: Path, b: Path) -> list[str]:
    """What is not equal in two finished runs."""
    faults = []
    for name in ("adapter", "adapter-last"):
        if not same(read_adapter(a / name).tensors, read_adapter(b / name).tensors):
            faults.append(f"{name}: other tensors")
    ours, theirs = (newest_checkpoint(folder / "checkpoints")[1] for folder in (a, b))
    faults += [
        f"the last checkpoint: another {part}"
        for part in ("position", "trained", "optimizer", "rng")
        if not same(getattr(ours, part), getattr(theirs, part))
    ]
    written = [
        {
            path.relative_to(run): path.read_bytes()
            for path in (run / "scores.json", *run.glob("predictions/*"))
        }
        for run in (a, b)
    ]
    if written[0] != written[1]:
        faults.append("other scores or predictions")
    if events(a) != events(b):
        faults.append(f"metrics.jsonl: {len(events(a))} and {len(events(b))} lines, or other ones")
    left = [str(path) for path in b.rglob(".*")]
    return faults + ([f"left behind: {', '.join(left)}"] if left else [])


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what is measured, and without those of single attempts."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    kept = (line for line in lines if line["event"] not in OF_ATTEMPTS)
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in kept]


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, tensors included."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(torch.equal(a, b)) if isinstance(a, torch.Tensor) else bool(a == b)


if __name__ == "__main__":
    main()
