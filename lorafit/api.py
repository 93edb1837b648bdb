"""What `import lorafit` offers: train a recipe, use an adapter folder, merge and export it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorafit.adapters import Adapter, BaseChoice, read_adapter
from lorafit.adapters.restore import restore, task_of
from lorafit.data.rows import RawRow
from lorafit.errors import DataError
from lorafit.models import Model
from lorafit.objectives import AnyObjective, TextOptions
from lorafit.objectives.restored import objective_of
from lorafit.recipe import EvalSection, Split
from lorafit.run.evaluator import Evaluator
from lorafit.run.events import Event, Report
from lorafit.run.options import TrainOptions
from lorafit.run.placement import Placement
from lorafit.run.plan import load_plan
from lorafit.run.train import TrainResult
from lorafit.run.train import train as train_plan
from lorafit.tasks import Task
from lorafit.training import ProcessGroup
from lorafit.verbs.evaluate import EvaluateOptions, EvaluateResult
from lorafit.verbs.evaluate import evaluate as evaluate_folder
from lorafit.verbs.export import ExportResult
from lorafit.verbs.export import export as export_folder
from lorafit.verbs.merge import MergeResult
from lorafit.verbs.merge import merge as merge_folder

Input = str | Mapping[str, str]
"""A prompt or a text; or the columns of a row by name, as the task has them."""


class Predictor:
    """An adapter on its base, as it was trained. `load` makes it; `model.net` is the net of transformers."""

    def __init__(self, adapter: Adapter, task: Task, objective: AnyObjective, model: Model) -> None:
        self.adapter, self.task, self.model = adapter, task, model
        self._objective = objective

    def predict(self, inputs: Sequence[Input], *, batch_size: int = 16) -> list[str | float]:
        """One answer an input, in order: a text, the name of a class, or a score.

        A string is the only column of a task that reads one. Raises DataError for an input without the task's columns.
        """
        if not inputs:
            return []
        rows = [self._row(number, value) for number, value in enumerate(inputs, start=1)]
        self._objective.prepare(self.model)
        if self.task.output == "text":
            return self._texts([self.task.key(row) for row in rows], batch_size)
        whole = self.task.model_copy(update={"part": None})  # an input belongs to no part of a split
        parsed = [whole.parse(row, "test") for row in rows]
        found = Evaluator(self._objective, _say_nothing, ProcessGroup()).predict(self.model, parsed)
        return [self.task.label_text(float(prediction.value)) for prediction in found]

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        split: Split = "test",
        metrics: Sequence[str] | None = None,
        output: str | Path | None = None,
    ) -> EvaluateResult:
        """Score a split of the data that the adapter was trained on, or a file of the same columns.

        Predictions and scores are written to `output`, by default the folder `eval` beside the adapter folder.
        Raises NotFoundError for data that are not there, DataError for malformed rows, RecipeError for an unknown
        metric.
        """
        options = EvaluateOptions(split, _path(data), _path(output))
        section = EvalSection(metrics=None if metrics is None else tuple(metrics))
        base = BaseChoice(self.model.net.name_or_path, force=False)
        return evaluate_folder(self.adapter.folder, base, options, section, _say_nothing, ProcessGroup())

    def _row(self, number: int, value: Input) -> RawRow:
        columns = self.task.input_columns
        if isinstance(value, str):
            if len(columns) != 1:
                raise DataError(f"input {number}: give the columns {', '.join(columns)} by name")
            value = {columns[0]: value}
        row = RawRow(number, value)
        missing = [column for column in columns if column not in value]
        if missing:
            raise DataError(f"input {number}: no column {', '.join(missing)}")
        try:
            self.task.key(row)
        except ValueError as error:
            raise DataError(f"input {number}: {error}") from None
        return row

    def _texts(self, prompts: Sequence[str], batch_size: int) -> list[str | float]:
        options = TextOptions(lambda search: search, batch_size)
        found = dict(self._objective.texts(self.model, prompts, options, lambda: False))
        return [found[index] for index in range(len(prompts))]


def load(folder: str | Path, *, base: str | None = None, force: bool = False) -> Predictor:
    """An adapter folder on its base, on the GPU if there is one.

    `base` is where the base lies now; `force` accepts one with other weights. Raises AdapterError for a folder that is
    damaged or does not fit the base, NotFoundError for what is not there.
    """
    adapter = read_adapter(Path(folder))
    task = task_of(adapter)
    objective = objective_of(adapter, task, base, adapter.card.data, EvalSection())
    model = restore(adapter, base=base, force=force)
    Placement.of("float32").place(model)
    return Predictor(adapter, task, objective, model)


def train(
    recipe: str | Path,
    output: str | Path | None = None,
    *,
    settings: Mapping[str, object] | None = None,
    report: Report | None = None,
    options: TrainOptions | None = None,
) -> TrainResult:
    """Train a recipe, by its path or the name of a shipped one, as `lorafit train` does.

    `settings` replaces values, such as {"train.seed": 1}; `report` receives every event. An unfinished run in `output`
    continues; of a finished one the result is returned. Raises RecipeError for a recipe that makes no sense,
    NotFoundError for a base or data that are not there, DataError for malformed rows.
    """
    overrides = [f"{key}={json.dumps(_plain(value))}" for key, value in (settings or {}).items()]
    plan = load_plan(str(recipe), overrides)
    return train_plan(plan, _path(output), report or _say_nothing, options or TrainOptions(), ProcessGroup())


def merge(
    folder: str | Path,
    output: str | Path,
    *,
    base: str | None = None,
    force: bool = False,
    dtype: str | None = None,
) -> MergeResult:
    """Write base + adapter as a Hugging Face model folder, and prove that it computes the same.

    Raises AdapterError for the wrong base or a merge that cannot be proven, NotMergeableError for a method without a
    merged form, RecipeError when `output` exists.
    """
    return merge_folder(Path(folder), Path(output), BaseChoice(base, force), dtype)


def export(
    folder: str | Path,
    output: str | Path,
    format_name: str = "peft",
    *,
    base: str | None = None,
    force: bool = False,
) -> ExportResult:
    """Write an adapter in another program's format. Raises AdapterError for what the format cannot express."""
    return export_folder(Path(folder), Path(output), format_name, BaseChoice(base, force))


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _plain(value: object) -> object:
    """A setting as JSON has it."""
    return str(value) if isinstance(value, Path) else value


def _say_nothing(event: Event) -> None:
    """Events that nobody asked for."""
