"""A run folder: where everything of one run lies, and its event log."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lorafit.errors import LorafitError, RecipeError
from lorafit.files import write_json, write_jsonl, write_text
from lorafit.methods import METHODS
from lorafit.recipe import Recipe, differing_keys, read_recipe, to_toml
from lorafit.workflows.events import Event, to_json


@dataclass(frozen=True)
class RunFolder:
    """runs/<recipe name>/seed-<n>, or the folder that --output names."""

    path: Path

    @staticmethod
    def of(recipe: Recipe, output: Path | None) -> RunFolder:
        return RunFolder(output or Path("runs") / recipe.name / f"seed-{recipe.train.seed}")

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def last_adapter(self) -> Path:
        return self.path / "adapter-last"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    def predictions(self, split: str) -> Path:
        return self.path / "predictions" / f"{split}.jsonl"

    def begin(self, recipe: Recipe) -> dict[str, Any] | None:
        """Make ready for a run. Returns the result of a finished run of the same recipe, which is then left alone.

        Raises RecipeError when the folder holds a run of another recipe.
        """
        if self.recipe.is_file():
            changed = differing_keys(recipe, read_recipe(self.recipe, [], METHODS))
            if changed:
                raise RecipeError(
                    f"{self.path}: holds a run of another recipe; choose another --output, or delete it. "
                    f"Changed: {'; '.join(changed)}"
                )
            if self.scores.is_file():
                return dict(json.loads(self.scores.read_text(encoding="utf-8")))
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RecipeError(
                f"{self.path}: is there already and is not a run folder; choose another --output"
            )
        self._clear()
        write_text(self.recipe, to_toml(recipe))
        return None

    def write_predictions(self, split: str, lines: list[dict[str, Any]]) -> None:
        write_jsonl(self.predictions(split), lines)

    def write_scores(self, scores: dict[str, Any]) -> None:
        """Written last: a run with scores.json is finished."""
        write_json(self.scores, scores)

    def _clear(self) -> None:
        """What an unfinished run of the same recipe left."""
        for folder in (self.adapter, self.last_adapter, self.path / "predictions"):
            shutil.rmtree(folder, ignore_errors=True)
        self.metrics.unlink(missing_ok=True)


class EventLog:
    """metrics.jsonl: one JSON object per event, on disk as it happens; steps every `log_every`."""

    def __init__(self, path: Path, log_every: int) -> None:
        self.log_every = log_every
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[str] = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise LorafitError(f"{path}: cannot be written: {error.strerror}") from error

    def __call__(self, event: Event) -> None:
        """Log an event that has a line."""
        line = to_json(event)
        if line is None or (line["event"] == "step" and line["step"] % self.log_every):
            return
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")

    def close(self) -> None:
        self._stream.close()
