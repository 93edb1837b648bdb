"""A run folder: where everything of one run lies, whether it goes on, starts or is done, and its event log."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lorafit.errors import NotFoundError, RecipeError
from lorafit.files import new_folder, tidy, write_json, write_jsonl, write_text
from lorafit.recipe import Recipe, differing_keys, to_toml
from lorafit.run.checkpoint import Checkpoint, copy_linked, newest_checkpoint
from lorafit.run.lock import LOCK_FILE
from lorafit.run.recipes import open_recipe

Resume = Literal["auto", "must", "never"]
"""auto: go on where there is something to go on from. must: that is an error otherwise. never: start over."""

_LENGTH = ("train.epochs", "train.max_steps")  # what `--extend` may change


@dataclass(frozen=True)
class Found:
    """What an earlier process left of the run: its newest valid checkpoint, and what is wrong with newer ones."""

    folder: Path | None = None
    checkpoint: Checkpoint | None = None
    faults: list[str] = field(default_factory=list)


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
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

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

    def predicting(self, split: str) -> Path:
        """Predictions that are being made."""
        return self.path / "predicting" / f"{split}.jsonl"

    def check(self, recipe: Recipe, *, extend: bool = False) -> bool:
        """Whether `recipe` makes the run that lies here longer; mostly not. Nothing is changed.

        Raises RecipeError when the folder holds a run of another recipe (with `extend`, only its length may be another)
        or something else.
        """
        if not self.recipe.is_file():
            strange = self.path.exists() and (not self.path.is_dir() or self._has_strange_files())
            if strange:
                raise RecipeError(
                    f"{self.path}: is there already and is not a run folder; choose another --output"
                )
            return False
        changed = differing_keys(recipe, open_recipe(self.recipe))
        other = [line for line in changed if not line.startswith(_LENGTH)]
        if changed and not (extend and not other):
            hint = "" if other else ", or make this run longer with --extend"
            raise RecipeError(
                f"{self.path}: holds a run of another recipe; choose another --output, or delete it{hint}. "
                f"Changed: {'; '.join(changed)}"
            )
        return bool(changed)

    def result(self) -> dict[str, Any] | None:
        """The scores of a finished run."""
        if not self.scores.is_file():
            return None
        return dict(json.loads(self.scores.read_text(encoding="utf-8")))

    def begin(self, recipe: Recipe, resume: Resume) -> Found:
        """Make ready to go on from the newest valid checkpoint, or to start. The folder must be locked.

        Raises NotFoundError when the run must be resumed and nothing is there to go on from.
        """
        for folder in (self.path, self.checkpoints):
            tidy(folder)
        if resume == "never":
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        found = Found(*newest_checkpoint(self.checkpoints))
        if found.checkpoint is None and resume == "must":
            faults = "".join(f"; {fault}" for fault in found.faults)
            raise NotFoundError(f"{self.path}: no checkpoint to resume from (--resume must){faults}")
        self.scores.unlink(missing_ok=True)
        if found.checkpoint is None:
            self._clear()
        else:
            self._put_back_best(found.checkpoint)
        write_text(self.recipe, to_toml(recipe))
        return found

    def write_predictions(self, split: str, lines: list[dict[str, Any]]) -> None:
        write_jsonl(self.predictions(split), lines)

    def write_scores(self, scores: dict[str, Any]) -> None:
        """Written last: a run with scores.json is finished."""
        shutil.rmtree(self.path / "predicting", ignore_errors=True)
        write_json(self.scores, scores)

    def _put_back_best(self, checkpoint: Checkpoint) -> None:
        """The best adapter as it was at the checkpoint: a later one belongs to steps that are made again."""
        if checkpoint.best is None:
            shutil.rmtree(self.adapter, ignore_errors=True)
            return
        with new_folder(self.adapter) as temporary:
            copy_linked(checkpoint.best, temporary)

    def _clear(self) -> None:
        """What an unfinished run of the same recipe left."""
        for folder in (self.adapter, self.last_adapter, self.checkpoints, self.path / "predictions"):
            shutil.rmtree(folder, ignore_errors=True)
        self.metrics.unlink(missing_ok=True)

    def _has_strange_files(self) -> bool:
        return any(path.name != LOCK_FILE for path in self.path.iterdir())
