"""What a run folder holds, as a page reads it: nothing but files, whether the run goes on, has stopped or is done."""

from __future__ import annotations

import json
import struct
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

from lorafit.errors import DataError, LorafitError
from lorafit.files import JsonObject
from lorafit.metrics.comparison import Prediction, read_predictions
from lorafit.metrics.score import flat
from lorafit.run.files.lock import Holder
from lorafit.run.files.paths import RunPaths
from lorafit.run.files.summary import best_validation, read_events, read_object
from lorafit.run.recipes import Recipe, open_recipe

T = TypeVar("T")

State = Literal["finished", "running", "stopped"]
PAGE = "report.html"
"""The name of the page in a run folder."""


@dataclass(frozen=True)
class Run:
    """A run folder. `document` is its recipe.toml; `result` its scores.json and `card` its adapter.json, {} without."""

    path: Path
    document: Mapping[str, Any]
    events: tuple[JsonObject, ...]
    result: JsonObject
    card: JsonObject
    is_held: bool

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe; None where this lorafit does not understand it any more."""
        try:
            return open_recipe(self.path / "recipe.toml")
        except LorafitError:
            return None

    @property
    def name(self) -> str:
        return str(self.document.get("name", self.path.name))

    @property
    def seed(self) -> int:
        return int(self.section("train").get("seed", 0))

    @property
    def state(self) -> State:
        return "finished" if self.result else "running" if self.is_held else "stopped"

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the recipe; empty without one."""
        section = self.document.get(name, {})
        return section if isinstance(section, dict) else {}

    def of(self, *kinds: str) -> list[JsonObject]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.get("event") in kinds]

    def last(self, kind: str) -> JsonObject:
        """The last event of a kind; {} without one."""
        return next((event for event in reversed(self.events) if event.get("event") == kind), {})

    @property
    def scores(self) -> dict[str, float | None]:
        """Of the adapter, by flat name."""
        return flat(self.result.get("scores") or {})

    @property
    def base_scores(self) -> dict[str, float | None]:
        """Of the bare base, by flat name; {} where it was not scored."""
        return flat(self.result.get("base") or {})

    @property
    def headline(self) -> str | None:
        """The flat name of the score that counts; None of a run without scores."""
        names = [name for name, value in self.scores.items() if value is not None]
        wanted = str(self.section("task").get("headline", ""))
        alike = [name for name in names if name == wanted or name.rpartition(".")[2] == wanted]
        return next(iter(alike or names), None)

    @property
    def best_validation(self) -> JsonObject:
        """The event of the epoch whose adapter is kept; {} while there is none."""
        return best_validation(self.events) or {}

    @property
    def step(self) -> int:
        """How far it has come."""
        return max(
            (int(event.get("step") or 0) for event in self.of("step", "validation", "finished")), default=0
        )

    @cached_property
    def num_trained(self) -> int | None:
        """Trained parameters; of a run that did not log them, the values in its adapter."""
        logged = self.last("started").get("num_trained")
        return (
            int(logged) if logged is not None else _num_values(self.path / "adapter" / "adapter.safetensors")
        )

    @cached_property
    def predictions(self) -> tuple[str, list[Prediction]]:
        """The split that was scored, and the adapter's predictions for it; [] where there are none."""
        split = str(self.result.get("split", "test"))
        path = RunPaths(self.path).predictions(split)
        return split, read_predictions(path) if path.is_file() and path.stat().st_size else []


def read_run(path: Path) -> Run:
    """A run folder, which has a recipe. Raises DataError for a file that is not what lorafit writes."""
    paths = RunPaths(path)
    document = _read(paths.recipe, lambda file: tomllib.loads(file.read_text(encoding="utf-8")))
    events = _read(paths.metrics, read_events)
    files = (paths.scores, paths.adapter / "adapter.json")
    result, card = (_read(file, lambda file: read_object(file) or {}) for file in files)
    return Run(path, document, tuple(events), result, card, Holder.of(path) is not None)


def _read(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _num_values(path: Path) -> int | None:
    """Values in a safetensors file, by its header; None where there is none."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
        return sum(prod(map(int, shape)) for shape in shapes)
    except (OSError, ValueError, LookupError, TypeError, struct.error):
        return None
