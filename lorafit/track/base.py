"""What a tracker is, and what it is told: the numbers in the lines of metrics.jsonl, and no others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from lorafit.files import JsonObject


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker knows of a run: a folder for its files, a name for people, and the resolved recipe.

    `project` is where the run is filed, where a program has such a thing; `offline`: nothing leaves the machine.
    """

    folder: Path
    name: str
    config: JsonObject
    project: str
    offline: bool


@dataclass(frozen=True, order=True)
class Moment:
    """When numbers came: after so many optimizer steps, and which of them of one step came first."""

    step: int
    kind: int


@dataclass(frozen=True)
class Figures:
    """Numbers of one moment by name: `train/loss`, `valid/loss`, `adapter/test/bleu`, …"""

    moment: Moment
    values: Mapping[str, float]


class Tracker(ABC):
    """Shows the numbers of a run elsewhere. It may raise anything: whoever feeds it sees to that.

    A run that is resumed opens it again, and tells it all numbers from the first on: the tracker leaves out what it
    has already.
    """

    name: ClassVar[str]
    extra: ClassVar[str] = ""  # of `pip install 'lorafit[EXTRA]'`

    @classmethod
    @abstractmethod
    def open(cls, run: TrackedRun) -> Self:
        """Begin, or go on with the same run. Raises ImportError where the program is not installed."""

    @abstractmethod
    def log(self, figures: Figures) -> None:
        """Take the numbers of a moment; moments never go back."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left."""


def figures(line: JsonObject, last_step: int) -> Figures | None:
    """The numbers in a line of metrics.jsonl; None in one that has none to show.

    `last_step` is that of the line before: a line of scores has no step of its own.
    """
    match line:
        case {"event": "step", "step": step}:
            return Figures(Moment(step, 1), _flat("train", line, leave=("step",)))
        case {"event": "validation", "step": step}:
            return Figures(Moment(step, 2), _flat("valid", line, leave=("step",)))
        case {"event": "score", "split": split, "model": who, "scores": scores}:
            return Figures(Moment(last_step, 0 if who == "base" else 3), _flat(f"{who}/{split}", scores))
        case {"event": "finished", "step": step, "seconds": seconds}:
            return Figures(Moment(step, 4), {"run/seconds": float(seconds)})
        case _:
            return None


def _flat(prefix: str, values: Mapping[str, object], leave: tuple[str, ...] = ()) -> dict[str, float]:
    """{"loss": 1.0, "scores": {"f1": 0.5}} -> {"train/loss": 1.0, "train/f1": 0.5}; what is no number is left out."""
    found: dict[str, float] = {}
    for key, value in values.items():
        match value:
            case dict():
                found |= _flat(prefix if key == "scores" else f"{prefix}/{key}", value)
            case bool():
                continue
            case int() | float() if key not in leave:
                found[f"{prefix}/{key}"] = float(value)
    return found
