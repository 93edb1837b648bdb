"""All about one run, adapter or recipe, read without torch and without the base."""

from __future__ import annotations

import json
import math
import shlex
import struct
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.errors import DamagedError, DataError, LorafitError, NotFoundError, RunCommand, reason_of
from lorafit.files import JsonObject
from lorafit.recipe import differing_keys, find_recipe, read_layers, shipped_recipes
from lorafit.run.files.paths import RunPaths, run_folders
from lorafit.run.files.summary import (
    RunSummary,
    best_validation,
    progress,
    read_events,
    read_object,
    summarize,
)
from lorafit.run.recipes import Recipe, open_recipe

CARD_FILE, TENSOR_FILE = "adapter.json", "adapter.safetensors"


@dataclass(frozen=True)
class ShownRun:
    """A run: at a glance, its scores with signatures, the best validation, what it was made of, and in what its recipe
    differs from the shipped one of that name."""

    summary: RunSummary
    scores: JsonObject
    best: JsonObject
    inputs: JsonObject
    dtype: str
    seconds: float | None
    changed: list[str]
    predictions: list[Path]


@dataclass(frozen=True)
class ShownAdapter:
    """An adapter: its card, its tensors by name with their shapes, and its size in bytes."""

    folder: Path
    card: JsonObject
    shapes: dict[str, tuple[int, ...]]
    num_bytes: int

    @property
    def task(self) -> str:
        """The kind of task it is for."""
        task = self.card.get("task", {})
        return str(task.get("kind", task.get("name", "")))

    @property
    def num_values(self) -> int:
        """How many numbers it holds."""
        return sum(map(math.prod, self.shapes.values()))


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe as it is resolved; `extends` is the one that it changes, `runs` are those that were made of it."""

    path: Path
    recipe: Recipe = field(repr=False)
    changed: list[str]
    runs: list[RunSummary]


Shown = ShownRun | ShownAdapter | ShownRecipe


def show(name: str, runs_dir: Path = Path("runs")) -> Shown:
    """What `name` names: a run folder, an adapter folder, a recipe file or a shipped recipe, tried in this order.

    Raises NotFoundError where it names none of them.
    """
    path = Path(name)
    if RunPaths(path).recipe.is_file():
        return show_run(path)
    if (path / CARD_FILE).is_file():
        return show_adapter(path)
    if path.is_dir():
        holds_runs = any(run_folders(path))
        listing = (
            [RunCommand(shlex.join(["lorafit", "runs", name]), "lists those in it")] if holds_runs else []
        )
        raise NotFoundError(
            f"{name}: neither a run folder (recipe.toml) nor an adapter folder ({CARD_FILE})", *listing
        )
    return show_recipe(name, runs_dir)


def show_run(path: Path) -> ShownRun:
    """All about a run folder. Raises DataError for one that cannot be read."""
    paths, summary = RunPaths(path), summarize(path)
    if summary.state == "damaged":
        raise DataError(f"{path}: not readable as a run folder: {summary.fault}")
    scores: JsonObject = read_object(paths.scores) or {}
    saved, events = progress(paths), read_events(paths.metrics)
    seconds = [event["seconds"] for event in events if event.get("event") == "finished"]
    return ShownRun(
        summary=summary,
        scores=scores,
        best=best_validation(events) or {},
        inputs=scores.get("inputs") or saved.get("inputs") or {},
        dtype=saved.get("dtype", ""),
        seconds=seconds[-1] if seconds else saved.get("seconds"),
        changed=_changed_from_shipped(paths.recipe),
        predictions=sorted(path.glob("predictions/*.jsonl")),
    )


def show_adapter(folder: Path) -> ShownAdapter:
    """All about an adapter folder, as it says of itself: `lorafit verify` says whether that is so.

    Raises DamagedError for a card or a file of tensors that cannot be read.
    """
    try:
        card = read_object(folder / CARD_FILE) or {}
        shapes = _shapes(folder / TENSOR_FILE)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise DamagedError(f"{folder}: not readable as an adapter folder: {reason_of(error)}") from None
    return ShownAdapter(folder, card, shapes, size)


def show_recipe(name: str, runs_dir: Path) -> ShownRecipe:
    """All about a recipe. Raises RecipeError with a line for every fault in it."""
    path = find_recipe(name)
    recipe = open_recipe(path)
    own = runs_dir / recipe.name
    found = [summarize(each.parent) for each in sorted(own.glob("*/recipe.toml"))]
    return ShownRecipe(path, recipe, _changed_from_parent(path, recipe), found)


def _changed_from_parent(path: Path, recipe: Recipe) -> list[str]:
    """In what a recipe differs from the one that it extends."""
    parent = read_layers(path).parent
    return [] if parent is None else differing_keys(recipe, open_recipe(parent))


def _changed_from_shipped(path: Path) -> list[str]:
    """In what a run's recipe differs from the shipped one of its name; nothing where none is shipped, or it is one that
    this lorafit does not understand any more."""
    try:
        recipe = open_recipe(path)
        shipped = shipped_recipes().get(recipe.name)
        return [] if shipped is None else differing_keys(recipe, open_recipe(shipped))
    except LorafitError:
        return []


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file by its header: 8 bytes little-endian size, then JSON."""
    with path.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        if size > path.stat().st_size:
            raise ValueError(f"{path.name} is cut off")
        header = json.loads(stream.read(size))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
