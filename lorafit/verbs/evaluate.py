"""Adapter folder -> scores and predictions of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorafit.adapters import BaseChoice
from lorafit.adapters.restore import data_of
from lorafit.data import Split
from lorafit.data.hub import fetched, pinned
from lorafit.errors import RUN_AGAIN, Advice, DropArgument, InterruptedRunError, RecipeError, SetArgument
from lorafit.files import JsonObject, write_json, write_jsonl, write_text
from lorafit.metrics.function import function_files
from lorafit.models.placement import clear_out_of_memory
from lorafit.objectives.examples import noun_of, usable_rows
from lorafit.objectives.restored import RestoredAdapter, restored_by_name
from lorafit.recipe import EvalSection, ModelSection
from lorafit.run.arrivals import arrivals
from lorafit.run.evaluator import Evaluation, Evaluator, notes_on_metrics
from lorafit.run.events import Note, Report, Scored
from lorafit.run.figures import draw_confusion
from lorafit.run.inputs import Inputs
from lorafit.tasks import PRESETS, Rows, load_rows, submission_files
from lorafit.training import ProcessGroup


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of one split, and where they were written (None: nowhere)."""

    adapter: Path
    split: str
    scores: JsonObject
    folder: Path | None
    samples: list[JsonObject]


@dataclass(frozen=True)
class EvaluateOptions:
    """Which split; another file in its place; where to write; a folder for the files of GLUE's server."""

    split: Split = "test"
    data: Path | None = None
    output: Path | None = None
    glue_submission: Path | None = None


def evaluate(
    folder: Path,
    base: BaseChoice,
    options: EvaluateOptions,
    section: EvalSection,
    report: Report,
    group: ProcessGroup,
) -> EvaluateResult:
    """Score an adapter folder; see `evaluate_restored`.

    Without `options.output` the results go to the folder `eval` beside the adapter folder.
    """
    output = options.output or folder.resolve().parent / "eval" / options.split
    restored = RestoredAdapter.of(folder, base)
    return evaluate_restored(restored, replace(options, output=output), section, report, group)


def evaluate_several(
    folders: Sequence[Path],
    base: BaseChoice,
    options: EvaluateOptions,
    section: EvalSection,
    report: Report,
    group: ProcessGroup,
) -> dict[str, EvaluateResult]:
    """Score adapters of one base, each as `evaluate` does, by the part of their paths in which they differ; a single
    one by "". Of several, each has a folder of its own in those of `options`.

    Raises RecipeError for adapters of different bases or tasks.
    """
    results = {}
    for name, restored in restored_by_name(folders, base).items():
        beside = restored.adapter.folder.resolve().parent / "eval" / options.split
        own = replace(
            options,
            output=options.output / name if options.output else beside,
            glue_submission=options.glue_submission and options.glue_submission / name,
        )
        results[name] = evaluate_restored(restored, own, section, report, group)
    return results


def evaluate_restored(
    restored: RestoredAdapter,
    options: EvaluateOptions,
    section: EvalSection,
    report: Report,
    group: ProcessGroup,
) -> EvaluateResult:
    """Score an adapter on a split of the data it was trained on, or on a file of the same format.

    Predictions and scores go to `options.output`, where there is one; `options.glue_submission` names a folder for the
    files that gluebenchmark.com takes. Raises InterruptedRunError when asked to stop.
    """
    adapter, task, split = restored.adapter, restored.task, options.split
    submission = PRESETS[task.name].submission if task.name in PRESETS else None
    if options.glue_submission is not None and submission is None:
        raise RecipeError(
            f"{adapter.folder}: {task.name} is not a task of GLUE", DropArgument("glue_submission")
        )
    if options.glue_submission is not None and split != "test":
        raise RecipeError("a GLUE submission needs the test split", SetArgument("split", "test"))
    task.find_metrics(section.metrics)  # an unknown name is an error before anything begins
    data = data_of(adapter)
    if options.data is None:
        with arrivals(str(data.hub), report) as tell:
            data = pinned(data) or fetched(data, tell)
    else:
        data = data.model_copy(update={"hub": None, split: str(options.data)})
    objective = restored.objective(section, data)
    loaded = load_rows(task, data)
    rows = loaded.rows(split)
    for text in (*restored.model.notes, *loaded.notes):
        report(Note(text))
    for note in (*notes_on_metrics(objective), *_changed_metrics(restored, section)):
        report(note)
    inputs = _inputs(restored, loaded, split)
    for changed in Inputs.of_card(adapter.card).changed(inputs):
        if options.data is None or not changed.startswith("data."):
            report(Note(f"{changed} has changed since {adapter.folder} was trained and scored"))
    evaluation = _evaluation(restored, Evaluator(objective, report, group), rows, split)
    result, lines = {**evaluation.scores.to_json(), "inputs": inputs.to_json()}, evaluation.lines
    report(Scored(split, "adapter", result["scores"], result["signatures"]))
    if options.output is not None:
        write_jsonl(options.output / "predictions.jsonl", lines)
        draw_confusion(options.output, result)
        write_json(options.output / "scores.json", {"split": split, **result})
    if options.glue_submission is not None and submission is not None:
        decisions = [prediction.label for prediction in evaluation.predictions]
        for name, text in submission_files(submission, task, rows, decisions).items():
            write_text(options.glue_submission / name, text)
            report(Note(f"wrote {options.glue_submission / name}"))
    return EvaluateResult(adapter.folder, split, result, options.output, lines[:3])


def _changed_metrics(restored: RestoredAdapter, section: EvalSection) -> list[Note]:
    """A note for each function that scores and is no longer what it was when the adapter was trained."""
    known = restored.adapter.card.provenance.metrics
    now = function_files(restored.task.metrics or () if section.metrics is None else section.metrics)
    changed = [name for name, sha256 in now.items() if known.get(name, sha256) != sha256]
    return [Note(f"{name}: its file has changed since the adapter was trained") for name in changed]


def _inputs(restored: RestoredAdapter, rows: Rows, split: Split) -> Inputs:
    """What is scored: the rows of the split, and the base."""
    where, revision = restored.where
    return Inputs.of_evaluation(rows, split, ModelSection(base=where, revision=revision))


def _evaluation(
    restored: RestoredAdapter, evaluator: Evaluator, rows: Sequence[Any], split: Split
) -> Evaluation:
    """Predict and score with the model as it was trained, on its device."""
    objective = evaluator.objective
    with clear_out_of_memory(restored.adapter.folder):
        tokenizer = restored.model.require_tokenizer()
        usable, notes = usable_rows(objective, tokenizer, rows, split)
        inputs = objective.encode_inputs(tokenizer, usable)
        notes += [*objective.notes(tokenizer), *inputs.checked_notes(noun_of(split, objective.input_noun))]
        for note in notes:
            evaluator.report(Note(note))
        try:
            evaluation = evaluator.evaluate(restored.model, usable)
        except InterruptedRunError as error:
            reason = evaluator.group.stop() or error
            raise InterruptedRunError(
                f"{restored.adapter.folder}: evaluation stopped ({reason})", RUN_AGAIN
            ) from None
    if evaluation is None:
        raise RecipeError("evaluation runs as one process", Advice("start it without torchrun or srun"))
    return evaluation
