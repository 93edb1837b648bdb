"""What a kind of task brings to training and evaluation: its batches, its loss, its predictions.

`training_of` and `evaluate_split` choose by the task's kind; each kind has a file of its own (`text.py`, `labels.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from lorafit.data import Split
from lorafit.methods import Method
from lorafit.metrics import Scores, missing_metrics
from lorafit.models import Model
from lorafit.recipe import DataSection, DecodeSection, EvalSection, Recipe
from lorafit.run.decode_cache import Kept
from lorafit.run.events import Note, Report
from lorafit.tasks import GenerationTask, LabelTask, Task
from lorafit.training import ALONE, Batch, Steps, World


@dataclass(frozen=True)
class Validation:
    """How good the model is on the valid split. The best epoch is the one with the greatest `quality`."""

    loss: float
    quality: float
    scores: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is wrong with the model, as far as its answers show


def missing_by_name(asked: Sequence[str] | None, scores: Mapping[str, Any]) -> list[str]:
    """The scores that were asked for by name and could not be computed."""
    return [] if asked is None else list(scores.get("reasons") or {})


@dataclass(frozen=True)
class Job:
    """Around an evaluation: who hears of its progress, the processes that share it, and what is done of it already."""

    report: Report
    world: World = ALONE
    kept: Kept | None = None  # None: it is begun anew when it is cut off


@dataclass(frozen=True)
class Evaluation:
    """Predictions, one JSON object for each example, and their scores."""

    predictions: list[dict[str, Any]]
    scores: Scores
    decisions: Sequence[float] = ()  # of a labelled task: the class or score of every example


class TrainingWork(Protocol):
    """The training side of a task: encoded examples, and how they become losses."""

    @property
    def num_train(self) -> int: ...
    @property
    def has_valid(self) -> bool: ...

    def steps(self, total: int) -> Steps:
        """The data of every optimizer step."""
        ...

    def loss_sum(self, batch: Batch) -> Tensor:
        """Sum of the training loss over a micro-batch's targets."""
        ...

    def validate(self, world: World) -> Validation:
        """The model as it is now, without dropout, on the valid split. The processes share the work by `world.each`.

        Raises InterruptedRunError when a process is asked to stop.
        """
        ...

    def fingerprint_inputs(self, count: int) -> list[list[int]]:
        """Token ids of a few examples, for the adapter's fingerprint."""
        ...


def training_of(
    task: Task, model: Model, examples: Mapping[Split, Sequence[Any]], recipe: Recipe
) -> TrainingWork:
    """Encode the train and valid splits. Raises NotFoundError when no example has room for a target."""
    from lorafit.run.labels import LabelTraining
    from lorafit.run.text import TextTraining, max_length

    if isinstance(task, LabelTask):
        return LabelTraining.of(task, model, examples, recipe.train, recipe.data)
    assert isinstance(task, GenerationTask)
    assert isinstance(recipe.method, Method)
    num_taken = recipe.method.num_positions
    return TextTraining.of(
        model, examples, recipe.train, max_length(model, recipe.data.max_length, num_taken)
    )


def notes_on_metrics(task: Task, section: EvalSection) -> list[Note]:
    """What the reader should know before a long run: which scores it will lack, and what to install.

    Raises NotFoundError for a metric of the evaluate library that cannot be loaded.
    """
    return [
        Note(f"{name} will not be computed: {reason}")
        for name, reason in missing_metrics(task.name, section.metrics).items()
    ]


def evaluate_split(
    task: Task,
    model: Model,
    examples: Sequence[Any],
    *,
    data: DataSection,
    decode: DecodeSection,
    section: EvalSection,
    job: Job,
) -> Evaluation | None:
    """Predict every example and score the predictions as the paper does. The processes share the work; only the
    leading one needs to score, and the others may get None.

    Raises InterruptedRunError when a process is asked to stop.
    """
    from lorafit.run.labels import evaluate_labels
    from lorafit.run.text import evaluate_text

    if isinstance(task, LabelTask):
        return evaluate_labels(model, task, examples, data.max_length, section, job)
    assert isinstance(task, GenerationTask)
    return evaluate_text(model, task, examples, decode, section, job)
