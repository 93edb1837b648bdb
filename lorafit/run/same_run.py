"""Does a folder hold the very run that is asked for? Its recipe and its inputs decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafit.errors import Advice, ChangeArgument, RecipeError, Remedy, SetArgument
from lorafit.files import JsonObject
from lorafit.recipe import differing_keys
from lorafit.run.events import Note, Report
from lorafit.run.folder import RunFolder
from lorafit.run.inputs import Inputs
from lorafit.run.options import TrainOptions
from lorafit.run.recipes import Recipe, open_recipe
from lorafit.tasks import Rows

_LENGTH = ("train.epochs", "train.max_steps")  # what extending a run may change


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
        found = ("task.",) if recorded.sha256("data.train") != now.sha256("data.train") else ()
        return Changes(
            [*recorded.changed(now), *recorded.added(now)],
            [key for key in keys if key.startswith(_LENGTH)],
            [key for key in keys if not key.startswith((*_LENGTH, *found))],
        )


def finished_result(
    folder: RunFolder, recipe: Recipe, rows: Rows, options: TrainOptions, report: Report
) -> JsonObject | None:
    """The scores of a finished run that is not to be trained further; None where there is something to train.

    Nothing is changed. Raises RecipeError when the folder holds something else, or a run of another recipe or of other
    inputs.
    """
    if not folder.is_begun():
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
    """Whether `kept` is `recipe` with what its task found in the training rows."""
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
