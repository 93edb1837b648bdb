"""What a run folder says of itself, read without torch and without the model."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from lorafit.errors import DataError
from lorafit.files import JsonObject
from lorafit.run.files.lock import Holder
from lorafit.run.files.paths import PROGRESS_FILE, RunPaths, checkpoint_folders

State = Literal["finished", "running", "stopped", "begun", "diverged", "damaged"]
"""stopped: it goes on from a checkpoint; begun: it has none yet; diverged: its loss was not finite any more, or nothing
was learned; damaged: the folder cannot be read."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance. `score` is the headline of a finished run, `base_score` the bare base's; `loss` that of the
    best validation; `changed` when something was written last (seconds since 1970); `holder` who trains it; `fault` why
    it has diverged or cannot be read."""

    path: Path
    state: State
    name: str = ""
    task: str = ""
    base: str = ""
    method: str = ""
    seed: int = 0
    step: int | None = None
    num_steps: int | None = None
    score_name: str | None = None
    score: float | None = None
    base_score: float | None = None
    loss: float | None = None
    changed: float = 0.0
    num_bytes: int = 0
    holder: str = ""
    fault: str = ""
    recipe: JsonObject = field(default_factory=dict, repr=False)

    @property
    def age_s(self) -> float:
        """Seconds since something was written."""
        return max(0.0, time.time() - self.changed)

    @property
    def is_usual(self) -> bool:
        """Whether the run lies where `lorafit train` puts it when nobody names another folder."""
        return self.path == RunPaths.usual(self.name, self.seed)


def summarize(path: Path) -> RunSummary:
    """A run folder; one that cannot be read is "damaged", with the reason as `fault`."""
    size, changed = _extent(path)
    try:
        return _read(RunPaths(path), changed, size)
    except (OSError, ValueError, LookupError, AttributeError, TypeError, DataError) as error:
        return RunSummary(
            path, "damaged", path.parent.name, changed=changed, num_bytes=size, fault=str(error)
        )


def read_object(path: Path) -> JsonObject | None:
    """A JSON object; None where there is no such file. Raises ValueError for anything else."""
    if not path.is_file():
        return None
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return value


def read_events(metrics: Path) -> list[JsonObject]:
    """The lines of metrics.jsonl. One that is being written at this moment is left out.

    Raises ValueError for a line that is no JSON object.
    """
    if not metrics.is_file():
        return []
    text = metrics.read_text(encoding="utf-8")
    whole, _, _ = text.rpartition("\n")
    return [_event(line) for line in whole.splitlines()]


def best_validation(events: Sequence[JsonObject]) -> JsonObject | None:
    """That of the epoch whose adapter was kept: the last one that is marked as best."""
    best = [event for event in events if event.get("event") == "validation" and event.get("best")]
    return best[-1] if best else None


def progress(paths: RunPaths) -> JsonObject:
    """The state in the newest checkpoint that can be read; {} where there is none."""
    for folder in checkpoint_folders(paths.checkpoints):
        try:
            return read_object(folder / PROGRESS_FILE) or {}
        except (OSError, ValueError):
            continue
    return {}


def flatten(scores: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """{"all": {"bleu": 1.0}} -> {"all.bleu": 1.0}; scores that could not be computed are left out."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        match value:
            case dict():
                flat |= flatten(value, f"{prefix}{name}.")
            case int() | float():
                flat[f"{prefix}{name}"] = float(value)
    return flat


def _read(paths: RunPaths, changed: float, num_bytes: int) -> RunSummary:
    recipe = tomllib.loads(paths.recipe.read_text(encoding="utf-8"))
    task, train = recipe["task"], recipe.get("train", {})
    scores, events = read_object(paths.scores), read_events(paths.metrics)
    saved, best = progress(paths), best_validation(events)
    holder, diverged = Holder.of(paths.path), read_object(paths.diverged)
    name, value, base = _headline(scores or {}, task.get("headline"))
    steps = [event["step"] for event in events if "step" in event]
    return RunSummary(
        path=paths.path,
        state=_state(scores is not None, holder, diverged is not None, bool(saved)),
        name=recipe.get("name", paths.path.parent.name),
        task=task["name"],
        base=recipe.get("model", {}).get("base", ""),
        method=recipe.get("method", {}).get("name", ""),
        seed=train.get("seed", 0),
        step=steps[-1] if steps else None,
        num_steps=saved.get("num_steps", train.get("max_steps")),
        score_name=name,
        score=value,
        base_score=base,
        loss=best["loss"] if best else None,
        changed=changed,
        num_bytes=num_bytes,
        holder=str(holder or ""),
        fault=str((diverged or {}).get("reason", "")),
        recipe=recipe,
    )


def _state(finished: bool, holder: Holder | None, diverged: bool, saved: bool) -> State:
    if holder is not None:
        return "running"
    if finished:
        return "finished"
    return "diverged" if diverged else "stopped" if saved else "begun"


def _headline(scores: JsonObject, headline: str | None) -> tuple[str | None, float | None, float | None]:
    """Name, value and the bare base's value of the score that tables show first."""
    flat, base = flatten(scores.get("scores") or {}), flatten(scores.get("base") or {})
    name = headline if headline in flat else next(iter(flat), None)
    return (None, None, None) if name is None else (name, flat[name], base.get(name))


def _event(line: str) -> JsonObject:
    event = json.loads(line)
    if not isinstance(event, dict):
        raise ValueError("a line of metrics.jsonl is not a JSON object")
    return event


def _extent(folder: Path) -> tuple[int, float]:
    """The size of a folder in bytes, hard links counted once, and when a file of it was written last."""
    found = {}
    for path in folder.rglob("*"):
        try:
            stat = path.lstat()
        except OSError:  # gone since
            continue
        if not path.is_dir():
            found[stat.st_dev, stat.st_ino] = stat
    return sum(each.st_size for each in found.values()), max(
        (s.st_mtime for s in found.values()), default=0.0
    )
