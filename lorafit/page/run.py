"""What a run folder holds, as a page reads it: nothing but files, whether the run goes on, has stopped or is done."""

from __future__ import annotations

import json
import struct
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

from lorafit.errors import DataError, LorafitError, NotFoundError
from lorafit.files import JsonObject
from lorafit.metrics.comparison import Prediction, read_predictions
from lorafit.metrics.score import flat
from lorafit.run.lock import is_held
from lorafit.run.recipes import Recipe, open_recipe

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
        best = [event for event in self.of("validation") if event.get("best")]
        return best[-1] if best else {}

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
        path = self.path / "predictions" / f"{split}.jsonl"
        return split, read_predictions(path) if path.is_file() and path.stat().st_size else []


def read_run(path: Path) -> Run:
    """A run folder. Raises NotFoundError where there is none, DataError for a file that is not what lorafit writes."""
    if not (path / "recipe.toml").is_file():
        raise NotFoundError(f"{path}: not a run folder (it has no recipe.toml)")
    try:
        document = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path / 'recipe.toml'}: cannot be read: {error}") from None
    result, card = (_read_object(path / name) for name in ("scores.json", "adapter/adapter.json"))
    return Run(path, document, tuple(_events(path / "metrics.jsonl")), result, card, is_held(path))


def _events(path: Path) -> Iterator[JsonObject]:
    """The lines of metrics.jsonl. The last one may be half-written: the run goes on, or was killed."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return
            raise DataError(f"{path}:{number}: not valid JSON: {error.msg}") from None
        if not isinstance(event, dict):
            raise DataError(f"{path}:{number}: not an event: an object is expected")
        yield event


def _read_object(path: Path) -> JsonObject:
    """A JSON object; {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a JSON object")
    return value


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
