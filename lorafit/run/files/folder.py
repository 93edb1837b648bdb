"""A run folder: where the files of one run are, and whether the run starts, continues or is finished.

Its recipe and its inputs decide whether it holds the very run that is asked for.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorafit.adapters import read_adapter
from lorafit.data.splits import SPLIT_NAMES
from lorafit.errors import (
    Advice,
    ChangeArgument,
    DataError,
    DivergedError,
    LorafitError,
    NotFoundError,
    RecipeError,
    Remedy,
    SetArgument,
)
from lorafit.files import JsonObject, is_left_over, new_folder, tidy, write_json, write_jsonl, write_text
from lorafit.recipe import differing_keys, to_toml
from lorafit.run.events import Note, Report
from lorafit.run.files.checkpoint import Checkpoint, copy_linked, newest_checkpoint
from lorafit.run.files.lock import LOCK_FILE
from lorafit.run.files.paths import PROGRESS_FILE, RunPaths, checkpoint_folders
from lorafit.run.inputs import Input, Inputs
from lorafit.run.options import Resume, TrainOptions
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import Rows

_LENGTH = ("train.epochs", "train.max_steps")  # what extending a run may change


@dataclass(frozen=True)
class Found:
    """The newest valid checkpoint of the run, if there is one, and what is wrong with newer ones."""

    folder: Path | None = None
    checkpoint: Checkpoint | None = None
    faults: list[str] = field(default_factory=list)


def check_holds_no_run(folder: Path) -> None:
    """Raises RecipeError for the folder of a run: other runs below it would be taken for a part of that run."""
    if RunPaths(folder).recipe.is_file():
        raise RecipeError(f"{folder}: is the folder of a run, and not of several", ChangeArgument("output"))


@dataclass(frozen=True)
class RunFolder(RunPaths):
    """The folder of a run that is written."""

    @staticmethod
    def of(recipe: Recipe, output: Path | None) -> RunFolder:
        return RunFolder(output or RunPaths.usual(recipe.name, recipe.train.seed))

    def is_begun(self) -> bool:
        """Whether there is a run in this folder. Raises RecipeError when it holds something else."""
        if self.recipe.is_file():
            return True
        if self.path.exists() and (not self.path.is_dir() or self._has_strange_files()):
            raise RecipeError(
                f"{self.path}: already exists and is not a run folder", ChangeArgument("output")
            )
        return False

    def has_made_something(self) -> bool:
        """Whether the run got as far as an adapter or a checkpoint."""
        made = (self.scores, self.adapter, self.last_adapter)
        return any(path.exists() for path in made) or bool(checkpoint_folders(self.checkpoints))

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
                earlier = state.get("weights_hash")  # all that an earlier lorafit wrote down
                return Inputs({"base.weights": Input("", str(earlier))} if earlier else {})
        return None

    def result(self) -> JsonObject | None:
        """The scores of a finished run."""
        return _read_object(self.scores) if self.scores.is_file() else None

    def begin(self, recipe: Recipe, resume: Resume) -> Found:
        """Prepare the folder to continue from the newest valid checkpoint, or to start. It must be locked.

        Raises NotFoundError when the run must be resumed and there is no checkpoint.
        """
        for folder in (self.path, self.checkpoints, self.path / "predictions"):
            tidy(folder)
        if resume == "never":
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        found = Found(*newest_checkpoint(self.checkpoints))
        if found.checkpoint is None and resume == "must":
            faults = "".join(f"; {fault}" for fault in found.faults)
            fault = f"{self.path}: no checkpoint to resume from{faults}"
            raise NotFoundError(fault, SetArgument("resume", "auto", "starts the run"))
        self.scores.unlink(missing_ok=True)
        self.diverged.unlink(missing_ok=True)
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

    def write_divergence(self, error: DivergedError) -> None:
        """For whoever looks at the run, and for a family, which goes on without it and does not train it again."""
        write_json(self.diverged, {"reason": error.message})

    def divergence(self) -> str | None:
        """Why the run has diverged; None where it has not, or may go on."""
        return str(_read_object(self.diverged).get("reason", "")) if self.diverged.is_file() else None

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
        for folder in (
            self.adapter,
            self.last_adapter,
            self.checkpoints,
            self.path / "predictions",
            self.tracked,
        ):
            shutil.rmtree(folder, ignore_errors=True)
        self.metrics.unlink(missing_ok=True)

    def _has_strange_files(self) -> bool:
        return any(path.name != LOCK_FILE and not is_left_over(path) for path in self.path.iterdir())


@dataclass(frozen=True)
class Changes:
    """In what a run differs from the one in the folder: inputs with their places; keys of the recipe, old and new."""

    inputs: Sequence[str]
    length: Sequence[str]  # keys that say how long it is
    others: Sequence[str]

    @staticmethod
    def between(kept: Recipe, recorded: Inputs, recipe: Recipe, now: Inputs) -> Changes:
        """What the task found in training rows that have changed is no change of the recipe."""
        keys = differing_keys(recipe, kept)
        other_rows = recorded.sha256("data.train") not in (None, now.sha256("data.train"))
        found = ("task.",) if other_rows else ()
        return Changes(
            [*recorded.changed(now), *recorded.added(now)],
            [key for key in keys if key.startswith(_LENGTH)],
            [key for key in keys if not key.startswith((*_LENGTH, *found))],
        )


def finished_result(
    folder: RunFolder, recipe: Recipe, rows: Rows, options: TrainOptions, report: Report
) -> JsonObject | None:
    """The scores of a finished run that is not to be trained further; None where there is something to train.

    A run that ended before it made anything is begun anew, by whatever recipe. Nothing is changed. Raises RecipeError
    when the folder holds something else, or a run of another recipe or of other inputs.
    """
    if not (folder.is_begun() and folder.has_made_something()):
        return None
    now = Inputs.of(recipe, rows)
    recorded = folder.recorded_inputs() or now
    changes = Changes.between(open_recipe(folder.recipe), recorded, recipe, now)
    starts_over = options.resume == "never"
    result = None if changes.length or starts_over else folder.result()
    is_shown = result is not None and options.show_anyway
    _refuse(
        folder, changes, options, inputs_count=not (starts_over or is_shown), is_finished=result is not None
    )
    if not starts_over:
        for text in _notes(changes, recorded, now, is_finished=result is not None):
            report(Note(f"{folder.path}: {text}"))
    return result


def is_resolved(kept: Recipe, recipe: Recipe) -> bool:
    """Whether `kept` is `recipe` with what its task found in the training rows, and the splits that the hub has."""
    given = {"train": recipe.data.train, "valid": recipe.data.valid, "test": recipe.data.test}
    found = {split: names[0] for split, names in kept.data.files().items() if names[0] in SPLIT_NAMES[split]}
    unsaid = {str(split): name for split, name in found.items() if given[split] is None}
    if recipe.data.hub is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=unsaid)})
    return all(key.startswith("task.") and key.endswith(" -> None") for key in differing_keys(recipe, kept))


def check_goes_on(folder: RunFolder, now: Inputs, options: TrainOptions) -> None:
    """Before an unfinished run goes on with inputs that are all there. Raises RecipeError where they are others."""
    recorded = folder.recorded_inputs()
    if recorded is not None and options.resume != "never":
        changes = Changes([*recorded.changed(now), *recorded.added(now), *recorded.gone(now)], (), ())
        _refuse(folder, changes, options, inputs_count=True, is_finished=False)


def _refuse(
    folder: RunFolder, changes: Changes, options: TrainOptions, *, inputs_count: bool, is_finished: bool
) -> None:
    """Raises RecipeError where the changes make another run."""
    other_length = bool(changes.length) and not options.extend
    is_other_recipe = other_length or bool(changes.others)
    faults, remedies = [], list[Remedy]([ChangeArgument("output")])
    if changes.inputs and inputs_count:
        faults.append(f"other inputs (changed since: {', '.join(changes.inputs)})")
        if not is_other_recipe:
            remedies.append(SetArgument("resume", "never", "starts over"))
        if is_finished and not is_other_recipe:
            remedies.append(SetArgument("show_anyway", True, "shows its result all the same"))
    if is_other_recipe:
        keys = sorted((*changes.length, *changes.others))
        faults.append(f"another recipe (changed: {'; '.join(keys)})")
        remedies.append(Advice("delete it"))
        if not changes.others:
            remedies.append(SetArgument("extend", True, "makes this run longer"))
    if faults:
        raise RecipeError(f"{folder.path}: holds a run of {' and of '.join(faults)}", *remedies)


def _notes(changes: Changes, recorded: Inputs, now: Inputs, *, is_finished: bool) -> list[str]:
    """What is not as it was, or cannot be compared, and does not keep the run from being shown or continued."""
    notes = []
    if changes.inputs:
        notes.append(f"shown as it was, although these have changed since: {', '.join(changes.inputs)}")
    if is_finished and (gone := recorded.gone(now)):
        notes.append(f"not compared, since they are not here any more: {', '.join(gone)}")
    if unknown := recorded.unknown(now):
        notes.append(
            f"an earlier lorafit did not record {', '.join(unknown)}: a change of them is not noticed"
        )
    return notes


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
