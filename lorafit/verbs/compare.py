"""Two run folders -> where their predictions differ, and whether that is chance."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from lorafit.errors import DataError, NotFoundError, lookup, reason_of
from lorafit.metrics.comparison import Comparison, compare_predictions, read_predictions
from lorafit.metrics.scorers import SCORERS
from lorafit.tasks import DEFAULTS

_PREFERRED = ("test", "valid")


@dataclass(frozen=True)
class CompareResult:
    """The two files, their task, and how they compare."""

    a: Path
    b: Path
    task: str
    comparison: Comparison


def compare(a: Path, b: Path, split: str | None, num_samples: int) -> CompareResult:
    """Compare two run folders (or two files of predictions) on a split; by default on test, else on valid.

    Raises NotFoundError where the runs have no such predictions, DataError where they cannot be read or paired.
    """
    file_a, file_b = _files(a, b, split)
    task, scorer = _task(a) or _task(b) or ("", "plain")
    comparison = compare_predictions(
        read_predictions(file_a), read_predictions(file_b), SCORERS[scorer], num_samples=num_samples
    )
    return CompareResult(file_a, file_b, task, comparison)


def _files(a: Path, b: Path, split: str | None) -> tuple[Path, Path]:
    found = [_predictions(path) for path in (a, b)]
    if split is None:
        common = found[0].keys() & found[1].keys()
        single = [next(iter(files.values())) for files in found if len(files) == 1]
        if not common and len(single) == 2:  # two files, whatever their names
            return single[0], single[1]
        split = next((name for name in (*_PREFERRED, *sorted(common)) if name in common), None)
        if split is None:
            raise NotFoundError(f"{a} and {b}: have no predictions of a common split")
    for path, files in zip((a, b), found, strict=True):
        if split not in files:
            there = ", ".join(sorted(files)) or "none"
            raise NotFoundError(f"{path}: no predictions of the split {split!r}; there are {there}")
    return found[0][split], found[1][split]


def _predictions(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such run folder or file of predictions")
    folder = path / "predictions" if (path / "predictions").is_dir() else path
    return {file.stem: file for file in sorted(folder.glob("*.jsonl")) if file.name != "metrics.jsonl"}


def _task(path: Path) -> tuple[str, str] | None:
    """The name of a run's task, and of the scorer for its texts."""
    folders = (path, *path.parents[:2]) if path.is_file() else (path,)
    recipe = next((f / "recipe.toml" for f in folders if (f / "recipe.toml").is_file()), None)
    if recipe is None:
        return None
    try:
        table = tomllib.loads(recipe.read_text(encoding="utf-8"))["task"]
        name = str(table["name"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{recipe}: is not readable as a recipe: {reason_of(error)}") from None
    options = {**DEFAULTS.get(name, {}).get("task", {}), **table}
    return name, lookup(SCORERS, str(options.get("scorer", "plain")), "scorer", where=str(recipe)).name
