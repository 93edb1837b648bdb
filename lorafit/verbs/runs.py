"""Run folders: which there are, and away with some of them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.errors import ChangeArgument, LorafitError, NotFoundError, RecipeError
from lorafit.metrics import METRICS
from lorafit.run.files.lock import LOCK_FILE, locked
from lorafit.run.files.paths import RunPaths, run_folders
from lorafit.run.files.summary import RunSummary, State, summarize

SORTS: Mapping[str, Callable[[RunSummary], Any]] = {
    "path": lambda run: run.path,
    "age": lambda run: run.age_s,
    "size": lambda run: -run.num_bytes,
    "score": lambda run: (run.score is None, run.score_name or "", -goodness(run)),
    "state": lambda run: (run.state, run.path),
}
"""What a list of runs can be sorted by: the newest, the largest and, of each score, the best one first."""


@dataclass(frozen=True)
class Filter:
    """Which runs are meant: of one state, task and method, and with these words in the recipe's and the base's name.
    None means all."""

    state: State | None = None
    task: str | None = None
    method: str | None = None
    recipe: str | None = None
    base: str | None = None

    def takes(self, run: RunSummary) -> bool:
        """Whether a run is meant."""
        same = ((self.state, run.state), (self.task, run.task), (self.method, run.method))
        part = ((self.recipe, run.name), (self.base, run.base))
        return all(wanted in (None, value) for wanted, value in same) and all(
            wanted is None or wanted.lower() in value.lower() for wanted, value in part
        )


def goodness(run: RunSummary) -> float:
    """The score, with its sign turned where less is better."""
    key = (run.score_name or "").rpartition(".")[2]
    falls = any(key in metric.keys and not metric.higher_is_better for metric in METRICS.values())
    return (run.score or 0.0) * (-1 if falls else 1)


def runs(root: Path, wanted: Filter | None = None, sort: str = "path") -> list[RunSummary]:
    """The runs below a folder. Raises NotFoundError where there is no such folder."""
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder of runs")
    found = [summarize(path) for path in sorted(run_folders(root))]
    return sorted(filter((wanted or Filter()).takes, found), key=SORTS[sort])


def removable(paths: Sequence[Path]) -> list[RunSummary]:
    """The runs in these folders. Raises RecipeError with a line for every one that must not be removed."""
    faults: list[LorafitError] = []
    found = {path.resolve(): path for path in paths}
    for path in found.values():
        if not RunPaths(path).recipe.is_file():
            what = "is no run folder (it has no recipe.toml)" if path.exists() else "no such run folder"
            faults.append(RecipeError(f"{path}: {what}", ChangeArgument("runs")))
    if faults:
        raise RecipeError.joined(faults)
    chosen = [summarize(path) for path in found.values()]
    if working := [run for run in chosen if run.state == "running"]:
        raise RecipeError.joined(
            [RecipeError(f"{run.path}: {run.holder} works on this run") for run in working]
        )
    return chosen


def remove(run: RunSummary) -> None:
    """Delete a run folder, and the folder of its recipe where no other run is left in it.

    What makes a run finished goes first and what makes it a run goes last: a deletion that is cut off leaves a run
    that can be deleted again. Raises LorafitError while a process works on it.
    """
    paths = RunPaths(run.path)
    with locked(run.path):
        last = {run.path / LOCK_FILE, paths.recipe}
        first = [paths.scores] if paths.scores.exists() else []
        rest = [path for path in run.path.iterdir() if path not in {*first, *last}]
        for path in (*first, *rest, paths.recipe):
            _delete(path)
    with contextlib.suppress(OSError):  # holds other runs
        run.path.parent.rmdir()


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise LorafitError(f"{error.filename or path}: cannot be deleted: {error.strerror}") from None
