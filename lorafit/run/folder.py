"""A run folder: where the files of one run are, and whether the run starts, continues or is finished."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.adapters import read_adapter
from lorafit.errors import ChangeArgument, DataError, LorafitError, NotFoundError, RecipeError, SetArgument
from lorafit.files import JsonObject, new_folder, tidy, write_json, write_jsonl, write_text
from lorafit.recipe import Recipe, to_toml
from lorafit.run.checkpoint import (
    PROGRESS_FILE,
    Checkpoint,
    checkpoint_folders,
    copy_linked,
    newest_checkpoint,
)
from lorafit.run.inputs import Input, Inputs
from lorafit.run.lock import LOCK_FILE
from lorafit.run.options import Resume


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

    def is_begun(self) -> bool:
        """Whether there is a run in this folder. Raises RecipeError when it holds something else."""
        if self.recipe.is_file():
            return True
        if self.path.exists() and (not self.path.is_dir() or self._has_strange_files()):
            raise RecipeError(
                f"{self.path}: already exists and is not a run folder", ChangeArgument("output")
            )
        return False

    def recorded_inputs(self) -> Inputs | None:
        """What the run in this folder was made of, as far as it was written down; None while nothing is made yet.

        Raises DataError for a file that does not hold it as it should.
        """
        if self.scores.is_file():
            scores = _read_object(self.scores)
            return _inputs(self.scores, scores) if "inputs" in scores else self._inputs_of_adapter()
        for folder in checkpoint_folders(self.checkpoints):
            with contextlib.suppress(DataError):  # damaged: an older one will be taken
                state = _read_object(folder / PROGRESS_FILE)
                if "inputs" in state:
                    return _inputs(folder / PROGRESS_FILE, state)
                return Inputs(
                    {"base.weights": Input("", str(state.get("weights_hash")))}
                )  # an earlier lorafit
        return None

    def result(self) -> JsonObject | None:
        """The scores of a finished run."""
        return _read_object(self.scores) if self.scores.is_file() else None

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
        write_text(self.recipe, to_toml(recipe))
        return found

    def write_predictions(self, split: str, lines: list[JsonObject]) -> None:
        write_jsonl(self.predictions(split), lines)

    def write_scores(self, scores: JsonObject) -> None:
        """Written last: a run with scores.json is finished."""
        shutil.rmtree(self.path / "predicting", ignore_errors=True)
        write_json(self.scores, scores)

    def _inputs_of_adapter(self) -> Inputs:
        """Those of a finished run of an earlier lorafit; none where its adapter cannot be read."""
        try:
            return Inputs.of_card(read_adapter(self.adapter).card)
        except LorafitError:
            return Inputs({})

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


def _read_object(path: Path) -> JsonObject:
    """A JSON object. Raises DataError for anything else."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _inputs(path: Path, document: JsonObject) -> Inputs:
    try:
        return Inputs.of_json(document["inputs"])
    except (TypeError, AttributeError):
        raise DataError(f"{path}: inputs: not what lorafit writes there") from None
