"""A run folder: where the files of one run are, and whether the run starts, continues or is finished."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.errors import Advice, ChangeArgument, NotFoundError, RecipeError, SetArgument
from lorafit.files import JsonObject, new_folder, tidy, write_json, write_jsonl, write_text
from lorafit.recipe import Recipe, differing_keys, to_toml
from lorafit.run.checkpoint import Checkpoint, copy_linked, newest_checkpoint
from lorafit.run.lock import LOCK_FILE
from lorafit.run.options import Resume
from lorafit.run.recipes import open_recipe

_LENGTH = ("train.epochs", "train.max_steps")  # what extending a run may change


@dataclass(frozen=True)
class Found:
    """The newest valid checkpoint of the run, if there is one, and what is wrong with newer ones."""

    folder: Path | None = None
    checkpoint: Checkpoint | None = None
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunFolder:
    """runs/<recipe name>/seed-<n>, or another folder that the caller names."""

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
        """Predictions so far, while they are being made."""
        return self.path / "predicting" / f"{split}.jsonl"

    def check(self, recipe: Recipe, *, extend: bool = False) -> bool:
        """Whether `recipe` makes the run in this folder longer. Nothing is changed.

        Raises RecipeError when the folder holds something else, or a run of another recipe (with `extend`, of a recipe
        that differs in more than its length).
        """
        if not self.recipe.is_file():
            strange = self.path.exists() and (not self.path.is_dir() or self._has_strange_files())
            if strange:
                raise RecipeError(
                    f"{self.path}: already exists and is not a run folder", ChangeArgument("output")
                )
            return False
        changed = differing_keys(recipe, open_recipe(self.recipe))
        other = [line for line in changed if not line.startswith(_LENGTH)]
        if changed and not (extend and not other):
            longer = [] if other else [SetArgument("extend", True, "makes this run longer")]
            raise RecipeError(
                f"{self.path}: holds a run of another recipe (changed: {'; '.join(changed)})",
                ChangeArgument("output"),
                Advice("delete it"),
                *longer,
            )
        return bool(changed)

    def result(self) -> JsonObject | None:
        """The scores of a finished run."""
        if not self.scores.is_file():
            return None
        return dict(json.loads(self.scores.read_text(encoding="utf-8")))

    def begin(self, recipe: Recipe, resume: Resume) -> Found:
        """Prepare the folder to continue from the newest valid checkpoint, or to start. It must be locked.

        Raises NotFoundError when the run must be resumed and there is no checkpoint.
        """
        for folder in (self.path, self.checkpoints):
            tidy(folder)
        if resume == "never":
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        found = Found(*newest_checkpoint(self.checkpoints))
        if found.checkpoint is None and resume == "must":
            faults = "".join(f"; {fault}" for fault in found.faults)
            fault = f"{self.path}: no checkpoint to resume from{faults}"
            raise NotFoundError(fault, SetArgument("resume", "auto", "starts the run"))
        self.scores.unlink(missing_ok=True)
        if found.checkpoint is None:
            self._clear()
        else:
            self._put_back_best(found.checkpoint)
        write_text(self.recipe, to_toml(recipe, paths_from=Path.cwd()))
        return found

    def write_predictions(self, split: str, lines: list[JsonObject]) -> None:
        write_jsonl(self.predictions(split), lines)

    def write_scores(self, scores: JsonObject) -> None:
        """Written last: a run with scores.json is finished."""
        shutil.rmtree(self.path / "predicting", ignore_errors=True)
        write_json(self.scores, scores)

    def _put_back_best(self, checkpoint: Checkpoint) -> None:
        """The best adapter as it was at the checkpoint: a later one belongs to steps that are repeated."""
        if checkpoint.best is None:
            shutil.rmtree(self.adapter, ignore_errors=True)
            return
        with new_folder(self.adapter) as temporary:
            copy_linked(checkpoint.best, temporary)

    def _clear(self) -> None:
        """Delete what an unfinished run of the same recipe left."""
        for folder in (self.adapter, self.last_adapter, self.checkpoints, self.path / "predictions"):
            shutil.rmtree(folder, ignore_errors=True)
        self.metrics.unlink(missing_ok=True)

    def _has_strange_files(self) -> bool:
        return any(path.name != LOCK_FILE for path in self.path.iterdir())
