"""Run folders as tables see them: what each says of itself, read without torch or the model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorafit.errors import DataError, NotFoundError
from lorafit.files import JsonObject
from lorafit.run.files.paths import run_folders
from lorafit.run.files.summary import best_validation, flatten, read_events, read_object

CellKey = tuple[str, str, str]
"""(table, row, task)."""


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds. `cell` is the one that its recipe names; None for a recipe that is not the paper's.

    `scores` are flattened (`all.bleu`), and empty while the run is not finished. `changed` says how the run's recipe
    differs from the cell's, one `section.key: theirs -> ours` each; `scored_rows` is the hash of the rows that it was
    scored on, where the run has recorded it.
    """

    path: Path
    cell: CellKey | None
    seed: int
    finished: bool
    scores: Mapping[str, float]
    adapter_sha256: str | None = None
    recipe_hash: str | None = None
    step: int | None = None
    changed: tuple[str, ...] = ()
    scored_rows: str | None = None


def find_runs(root: Path) -> list[RunRecord]:
    """Every run folder below `root`, by path. Raises NotFoundError when `root` is no folder."""
    if not root.is_dir():
        raise NotFoundError(f"{root}: no such folder of runs")
    return [_read_run(path) for path in sorted(run_folders(root))]


def _read_run(path: Path) -> RunRecord:
    try:
        recipe = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8"))
        scores = read_object(path / "scores.json")
        card = read_object(path / "adapter" / "adapter.json") or {}
        best = best_validation(read_events(path / "metrics.jsonl"))
        provenance = card.get("provenance", {})
        return RunRecord(
            path=path,
            cell=_cell(recipe.get("paper", {}), recipe["task"]["name"]),
            seed=recipe.get("train", {}).get("seed", 0),
            finished=scores is not None,
            scores=flatten((scores or {}).get("scores") or {})
            | ({"validation.loss": best["loss"]} if best else {}),
            adapter_sha256=card.get("files", {}).get("adapter.safetensors", {}).get("sha256"),
            recipe_hash=provenance.get("recipe_hash"),
            step=provenance.get("step"),
            scored_rows=_scored_rows(scores or {}),
        )
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: not readable as a run folder: {error}") from None


def _scored_rows(scores: JsonObject) -> str | None:
    rows = scores.get("inputs", {}).get(f"data.{scores.get('split')}")
    return None if rows is None else str(rows["sha256"])


def _cell(paper: Mapping[str, object], task: str) -> CellKey | None:
    if "table" not in paper or "row" not in paper:
        return None
    return str(paper["table"]), str(paper["row"]), task
