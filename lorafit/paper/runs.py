"""Finished runs as reports see them: what a run folder says of itself, read without its model."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.errors import NotFoundError


@dataclass(frozen=True)
class Run:
    """A run folder with a recipe. `scores` are flattened (`all.bleu`) and empty while the run is not finished.

    `changed` says in what the run departs from the recipe of its cell, one `section.key: theirs -> ours` each.
    """

    path: Path
    recipe: dict[str, Any]
    scores: dict[str, float]
    finished: bool
    adapter_sha256: str | None = None
    recipe_hash: str | None = None
    step: int | None = None
    changed: tuple[str, ...] = ()

    @property
    def cell(self) -> tuple[str, str, str] | None:
        """(table, row, task) that the recipe names; None for a recipe of one's own."""
        paper = self.recipe.get("paper", {})
        if "table" not in paper or "row" not in paper:
            return None
        return str(paper["table"]), str(paper["row"]), str(self.recipe["task"]["name"])

    @property
    def seed(self) -> int:
        return int(self.recipe.get("train", {}).get("seed", 0))


def find_runs(root: Path) -> list[Run]:
    """Every run folder below `root`, by path. Raises NotFoundError when `root` is no folder."""
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder of runs")
    return [_read_run(path) for path in sorted(_run_folders(root))]


def _run_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a recipe.toml; what lies below one is its own business."""
    for folder, inner, files in os.walk(root):
        if "recipe.toml" in files:
            inner.clear()
            yield Path(folder)


def _read_run(path: Path) -> Run:
    try:
        recipe = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8"))
        scores_file = path / "scores.json"
        finished = scores_file.is_file()
        scores = json.loads(scores_file.read_text(encoding="utf-8")) if finished else {}
        card_file = path / "adapter" / "adapter.json"
        card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() else {}
        loss = _best_validation_loss(path / "metrics.jsonl")
    except (OSError, ValueError) as error:  # TOML and JSON faults are ValueErrors
        raise NotFoundError(f"{path}: not readable as a run folder: {error}") from None
    origin = card.get("provenance", {})
    tensors = card.get("files", {}).get("adapter.safetensors", {})
    return Run(
        path=path,
        recipe=recipe,
        scores=flatten(scores.get("scores") or {}) | ({"validation.loss": loss} if loss is not None else {}),
        finished=finished,
        adapter_sha256=tensors.get("sha256"),
        recipe_hash=origin.get("recipe_hash"),
        step=origin.get("step"),
    )


def flatten(scores: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """{"all": {"bleu": 1.0}} -> {"all.bleu": 1.0}; what could not be computed is left out."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            flat[f"{prefix}{name}"] = float(value)
    return flat


def _best_validation_loss(metrics: Path) -> float | None:
    """Of the epoch whose adapter was kept: the last validation that says `best`."""
    if not metrics.is_file():
        return None
    loss = None
    for line in metrics.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event.get("event") == "validation" and event.get("best"):
            loss = event["loss"]
    return loss
