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
from lorafit.metrics import Scores
from lorafit.models import Model
from lorafit.recipe import DecodeSection, EvalSection, Recipe
from lorafit.tasks import GenerationTask, Task
from lorafit.training import Batch, Steps
from lorafit.workflows.events import Report


@dataclass(frozen=True)
class Validation:
    """How good the model is on the valid split. The best epoch is the one with the greatest `quality`."""

    loss: float
    quality: float
    scores: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Predictions, one JSON object for each example, and their scores."""

    predictions: list[dict[str, Any]]
    scores: Scores


class TrainingWork(Protocol):
    """The training side of a task: encoded examples, and how they become losses."""

    @property
    def num_train(self) -> int: ...
    @property
    def has_valid(self) -> bool: ...

    def steps(self, total: int) -> Steps:
        """The micro-batches of every optimizer step."""
        ...

    def loss_sum(self, batch: Batch) -> Tensor:
        """Sum of the training loss over a micro-batch's targets."""
        ...

    def validate(self) -> Validation:
        """The model as it is now, without dropout, on the valid split."""
        ...

    def fingerprint_inputs(self, count: int) -> list[list[int]]:
        """Token ids of a few examples, for the adapter's fingerprint."""
        ...


def training_of(
    task: Task, model: Model, examples: Mapping[Split, Sequence[Any]], recipe: Recipe
) -> TrainingWork:
    """Encode the train and valid splits. Raises NotFoundError when no example has room for a target."""
    from lorafit.workflows.text import TextTraining, max_length

    assert isinstance(task, GenerationTask)
    assert isinstance(recipe.method, Method)
    num_taken = recipe.method.num_positions
    return TextTraining.of(
        model, examples, recipe.train, max_length(model, recipe.data.max_length, num_taken)
    )


def evaluate_split(
    task: Task,
    model: Model,
    examples: Sequence[Any],
    *,
    decode: DecodeSection,
    section: EvalSection,
    report: Report,
) -> Evaluation:
    """Predict every example and score the predictions as the paper does."""
    from lorafit.workflows.text import evaluate_text

    assert isinstance(task, GenerationTask)
    return evaluate_text(model, task, examples, decode, section, report)
