"""The Python interface: train a recipe, use an adapter folder. `import lorafit` offers all of it.

Everything here does what the command of the same name does, and gives its result as a value.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.adapters import BaseChoice
from lorafit.data import Split
from lorafit.decoding import Sampling
from lorafit.errors import NotFoundError, RecipeError
from lorafit.interop.models import Onto, Proof
from lorafit.models import Model
from lorafit.objectives import Answered
from lorafit.objectives.restored import RestoredAdapter, restored_by_name
from lorafit.page.live import drawing
from lorafit.page.write import write_page, write_paper_page
from lorafit.recipe import EvalSection, assignment
from lorafit.run.events import Event, Note, Report
from lorafit.run.files.folder import RunFolder
from lorafit.run.options import Resume, TrainOptions
from lorafit.run.pins import pins
from lorafit.run.plan import load_plan
from lorafit.run.recipes import open_recipe
from lorafit.run.stop import StopRequest
from lorafit.run.train import TrainResult, finished_without
from lorafit.run.train import train as train_plan
from lorafit.tasks import Answer, Task
from lorafit.training import ProcessGroup, open_process_group
from lorafit.verbs.evaluate import EvaluateOptions, evaluate_restored
from lorafit.verbs.export import ExportResult
from lorafit.verbs.export import export as export_adapter
from lorafit.verbs.merge import MergeResult
from lorafit.verbs.merge import merge as merge_adapter
from lorafit.verbs.predict import (
    Input,
    PredictOptions,
    PredictResult,
    RowPredictions,
    predict_restored,
    report_notes,
)

__all__ = [
    "ExportResult",
    "Input",
    "MergeResult",
    "PredictResult",
    "Predictor",
    "Sampling",
    "TrainResult",
    "evaluate",
    "export",
    "load",
    "merge",
    "predict",
    "report",
    "train",
]

StrPath = str | os.PathLike[str]

_logger = logging.getLogger("lorafit")


def log_notes(event: Event) -> None:
    """The report of a call that gives none: notes are warnings of the logger "lorafit", and nothing else is said."""
    match event:
        case Note(text):
            _logger.warning("%s", text)


@dataclass(frozen=True)
class Predictor:
    """An adapter on its base, loaded and ready. `load` makes one."""

    restored: RestoredAdapter
    report: Report = log_notes

    @property
    def model(self) -> Model:
        """The model; `model.net` is the net of transformers, with the adapter in it."""
        return self.restored.model

    @property
    def task(self) -> Task:
        """The task that it was trained for: its columns, labels and metrics."""
        return self.restored.task

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes; None for texts and scores."""
        return self.task.labels

    def predict(
        self, inputs: Sequence[Input], sampling: Sampling | None = None, batch_size: int = 16
    ) -> list[Answer]:
        """The answer to every input, in order: a text, the name of a class, a tuple of several, or a score.

            predictor.predict(["a lovely film", "dull"])                          # ['positive', 'negative']
            predictor.predict([{"premise": "It rains.", "hypothesis": "It is wet."}])
            predictor.predict(["name : Zizzi"], lorafit.Sampling("sample", temperature=0.7))

        An input is a text, or a mapping with the columns that the task reads; for texts to be written, a text is the
        whole prompt. `sampling` chooses tokens in another way than in training; `batch_size` changes no answer.
        Raises DataError for inputs that the task cannot read, RecipeError for `sampling` where no text is written.
        """
        return [answered.value for answered in self._answered(inputs, sampling or Sampling(), batch_size)]

    def probabilities(self, inputs: Sequence[Input], batch_size: int = 16) -> list[dict[str, float]]:
        """How probable each class is for every input, by name; nothing where there are no classes.

            reviews.probabilities(["a lovely film"])                              # [{'bad': 0.02, 'good': 0.98}]

        Raises DataError for inputs that the task cannot read.
        """
        return [dict(answered.probabilities) for answered in self._answered(inputs, Sampling(), batch_size)]

    def _answered(self, inputs: Sequence[Input], sampling: Sampling, batch_size: int) -> list[Answered]:
        if isinstance(inputs, str | Mapping):
            raise RecipeError("inputs: must be a list of inputs, and this is one; put it into a list")
        options = PredictOptions(self.report, ProcessGroup(), sampling, batch_size)
        answers = dict(predict_restored(self.restored, inputs, options))
        return [answers[index] for index in range(len(inputs))]

    def evaluate(
        self,
        split: Split = "test",
        data: StrPath | None = None,
        metrics: Sequence[str] | None = None,
        output: StrPath | None = None,
    ) -> dict[str, Any]:
        """The scores of a split, as `lorafit eval` writes them into scores.json.

            predictor.evaluate("valid", metrics=["accuracy"])["scores"]           # {'accuracy': 0.93}

        `data` is a file in place of the split that the adapter was trained with. Predictions and scores go to the
        folder `output`; without it nothing is written. Raises RecipeError for an unknown metric, NotFoundError and
        DataError for rows that are missing or malformed.
        """
        return _scores(self.restored, split, data, metrics, output, self.report)


def load(
    folder: StrPath, base: str | None = None, force: bool = False, report: Report | None = None
) -> Predictor:
    """An adapter folder on its base, on the GPU where there is one.

        predictor = lorafit.load("runs/quickstart/seed-1/adapter")

    `base` names the base by another path or hub id; `force` takes it even where it is not the one trained on; `report`
    is told of progress and notes. Raises AdapterError for an adapter that is damaged or does not fit the base,
    NotFoundError where the folder or the base is missing.
    """
    restored = RestoredAdapter.of(Path(folder), BaseChoice(base, force))
    report_notes(restored, report or log_notes)  # loads it, so that what is wrong is raised here
    return Predictor(restored, report or log_notes)


def train(
    recipe: StrPath,
    overrides: Mapping[str, object] | None = None,
    output: StrPath | None = None,
    report: Report | None = None,
    resume: Resume = "auto",
    extend: bool = False,
    show_anyway: bool = False,
) -> TrainResult:
    """Train a recipe file or shipped recipe, score it, and leave an adapter folder.

        run = lorafit.train("quickstart", {"train.seed": 2, "train.epochs": 1})
        run.scores["scores"], run.adapter

    `overrides` sets keys of the recipe by "section.key"; None takes a key away, so that it has its default. `output` is
    the run folder, by default runs/<recipe>/seed-<n>. `report` is told of every step, validation and note. The same
    call continues a run that was interrupted, and returns the result of a finished one; `resume` changes that ("must",
    "never"), and `extend` allows more epochs or steps than the run had. A run whose data, base or start have changed
    since is refused with a RecipeError, unless it is finished and `show_anyway` is set. As with the command, a signal
    (Ctrl+C, too) saves a checkpoint and raises InterruptedRunError; started by torchrun, all processes train one run.
    Raises RecipeError with a line for every fault of the recipe, NotFoundError and DataError for data or a base that is
    missing or malformed, DivergedError where training goes wrong.
    """
    name_or_path = recipe if isinstance(recipe, str) else Path(recipe)
    chosen = [assignment(name, value) for name, value in (overrides or {}).items()]
    with StopRequest() as stop, open_process_group(stop) as group:
        options = TrainOptions(resume, extend, show_anyway)
        try:
            chosen += group.leader_first(
                lambda: pins(name_or_path, chosen, _path(output), report or log_notes)
            )
            plan = group.leader_first(lambda: load_plan(name_or_path, chosen))
        except NotFoundError as missing:
            wanted = open_recipe(name_or_path, chosen)
            return finished_without(missing, wanted, _path(output), options, report or log_notes)
        with drawing(RunFolder.of(plan.recipe, _path(output)).path, report or log_notes) as drawn:
            return train_plan(plan, _path(output), drawn, options, group)


def predict(
    adapters: StrPath | Sequence[StrPath],
    rows: StrPath,
    output: StrPath,
    sampling: Sampling | None = None,
    batch_size: int = 16,
    base: str | None = None,
    force: bool = False,
    report: Report | None = None,
) -> PredictResult:
    """Write the rows of a file, in order, with what an adapter answers, or several of one base, to the file `output`.

        lorafit.predict("runs/reviews/adapter", "new.csv", "predicted.jsonl").num_rows

    Formats go by the suffixes. Rows keep their columns and get `prediction`, and `probabilities` where there are
    classes; of several adapters each has its own, such as `prediction_seed-1`. The same call goes on with what was
    interrupted. Raises DataError with the lines of bad rows, RecipeError where `output` is there already, or was begun
    with other adapters, rows or settings, or where the adapters have different bases or tasks.
    """
    folders = [adapters] if isinstance(adapters, str | os.PathLike) else adapters
    restored = restored_by_name([Path(folder) for folder in folders], BaseChoice(base, force))
    options = PredictOptions(report or log_notes, ProcessGroup(), sampling or Sampling(), batch_size)
    return RowPredictions.of(restored, Path(rows), options).write(Path(output))


def evaluate(
    folder: StrPath,
    split: Split = "test",
    data: StrPath | None = None,
    metrics: Sequence[str] | None = None,
    output: StrPath | None = None,
    base: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """The scores of an adapter folder on a split; the adapter is loaded for this alone. See `Predictor.evaluate`.

    lorafit.evaluate("runs/quickstart/seed-1/adapter", metrics=["bleu"])["scores"]
    """
    restored = RestoredAdapter.of(Path(folder), BaseChoice(base, force))
    return _scores(restored, split, data, metrics, output, log_notes)


def merge(
    folder: StrPath,
    output: StrPath,
    dtype: str | None = None,
    max_shard_bytes: int | None = None,
    base: str | None = None,
    force: bool = False,
    proof: Proof | None = None,
    onto: Onto | None = None,
) -> MergeResult:
    """Write base and adapter as one plain Hugging Face model to the new folder `output`, and prove that it is the same.

        lorafit.merge("runs/quickstart/seed-1/adapter", "merged").weights.max_error

    `dtype` is the number format and `max_shard_bytes` the size of the largest file; without them, the base's.
    `proof`: every tensor (weights), or the answers too (forward); without it, forward for a base below 2 GB. `onto`: of
    a base in 4 bits, the weights that training saw (quantized, the default) or those in its files (original). Raises
    NotMergeableError for a method without merged form, AdapterError for the wrong base or a merge that cannot be
    proven, RecipeError where `output` exists.
    """
    return merge_adapter(
        Path(folder), Path(output), BaseChoice(base, force), dtype, max_shard_bytes, proof=proof, onto=onto
    )


def export(
    folder: StrPath,
    output: StrPath,
    format: str | None = None,
    base: str | None = None,
    force: bool = False,
    program: str | None = None,
) -> ExportResult:
    """Write the adapter to the new folder `output` in another program's format.

        lorafit.export("runs/quickstart/seed-1/adapter", "for-peft")
        lorafit.export("runs/quickstart/seed-1/adapter", "for-llama", program="llama.cpp").command

    `format`: PEFT's, or the one of the `program` that is to serve it, whose limits are then checked. Raises RecipeError
    for an unknown format or program, or where `output` exists; AdapterError with a line for everything that the format
    cannot express, or with one for what the program cannot serve.
    """
    return export_adapter(Path(folder), Path(output), format, BaseChoice(base, force), program=program)


def report(
    runs: StrPath | Sequence[StrPath],
    output: StrPath | None = None,
    table: str | None = None,
    include_changed: bool = False,
) -> Path:
    """Write one HTML file that shows a run, or compares several, and return where it is.

        lorafit.report("runs/quickstart/seed-1")                         # into the run folder
        lorafit.report(["runs/small/seed-0", "runs/large/seed-0"], "both.html")
        lorafit.report("runs", "table3.html", table="3")

    `runs` are run folders, finished or not, folders of runs, and folders of sweeps; `output` is by default report.html,
    of one run in its folder. `table` names a table of the paper, in which the finished runs of one folder are put;
    `include_changed` counts those whose recipe was changed, too. Raises NotFoundError for a place without a run,
    DataError for files that are not what a run leaves, RecipeError for an unknown table.
    """
    places = [Path(run) for run in ([runs] if isinstance(runs, str | os.PathLike) else runs)]
    if table is None:
        return write_page(places, _path(output))
    return write_paper_page(table, places, _path(output), include_changed=include_changed)


def _scores(
    restored: RestoredAdapter,
    split: Split,
    data: StrPath | None,
    metrics: Sequence[str] | None,
    output: StrPath | None,
    report: Report,
) -> dict[str, Any]:
    """The contents of scores.json."""
    options = EvaluateOptions(split, _path(data), _path(output))
    section = EvalSection(metrics=None if metrics is None else tuple(metrics))
    result = evaluate_restored(restored, options, section, report, ProcessGroup())
    return {"split": result.split, **result.scores}


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path)
