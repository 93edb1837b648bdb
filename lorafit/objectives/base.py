"""What an objective is: how rows become examples and batches, what is learned of them, and how it is measured.

Everything above this room handles texts and labels alike, through `Objective`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lorafit.data.rows import Label
from lorafit.decoding import AS_TRAINED, BeamSearch, Sampling, Strategy
from lorafit.files import JsonObject
from lorafit.metrics.scoring import Scores
from lorafit.models import Model, Reading, take_packed_rows
from lorafit.objectives.encoded import Encoded, Noun
from lorafit.objectives.encoder import Encoder, FlatExample
from lorafit.tasks import Answer
from lorafit.training import Batch, ProcessGroup

RowT = TypeVar("RowT")
ExampleT = TypeVar("ExampleT", bound=FlatExample)
BatchT = TypeVar("BatchT", bound=Batch)


@dataclass(frozen=True)
class Validation:
    """How good the model is on the valid split. The best epoch is the one with the greatest `quality`."""

    loss: float
    quality: float
    scores: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is wrong with the model, as far as its answers show


@dataclass(frozen=True)
class Prediction:
    """The answer to the item of that index: a text or a label.

    `evidence`: what stands behind it: the probability of each class; or of a text, where a metric asks for it, the
    negative log-likelihood of its references and the number of their tokens.
    """

    index: int
    value: str | Label
    evidence: tuple[float, ...] = ()

    @property
    def label(self) -> Label:
        """The answer of a task with labels. Raises TypeError for a text."""
        match self.value:
            case str():
                raise TypeError("a text is no label")
        return self.value


@dataclass(frozen=True)
class AnswerOptions:
    """How inputs are answered: with which strategy for the objective's search, texts `batch_size` at a time. What is
    drawn for a row depends on its number; `first` is that of the first one."""

    sampling: Sampling = AS_TRAINED
    batch_size: int = 16  # the result does not depend on it
    first: int = 0

    def strategy(self, search: BeamSearch) -> Strategy:
        """How tokens are chosen, where `search` is that of the objective."""
        return self.sampling.of(search, self.first)


@dataclass(frozen=True)
class Answered:
    """The answer to a row as people read it; where it is one or several classes, the probability of each by name."""

    value: Answer
    probabilities: Mapping[str, float] = field(default_factory=dict)

    def to_json(self, name: str = "") -> JsonObject:
        """By key; `name` is the adapter's, where there are several."""
        more = f"_{name}" if name else ""
        probabilities = {f"probabilities{more}": dict(self.probabilities)} if self.probabilities else {}
        return {f"prediction{more}": self.value, **probabilities}


class Objective(ABC, Generic[RowT, ExampleT, BatchT]):
    """What is learned and how it is measured. It holds settings alone: no tokenizer, no net, no rows.

    An item is what gets one prediction: a row, or a prompt with all its references.
    """

    progress_name: ClassVar[str]  # what predicting is called while it takes a while
    input_noun: ClassVar[Noun]  # what is predicted for
    reading: Reading  # how the net reads several examples
    splits_rows: ClassVar[bool] = False  # whether a row may become several examples

    @abstractmethod
    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> Encoder[RowT, ExampleT]:
        """The encoder for training and validation."""

    @abstractmethod
    def collate(self, parts: Sequence[Sequence[ExampleT]]) -> BatchT:
        """One part a member -> a batch."""

    @abstractmethod
    def loss_sums(self, model: Model, batch: BatchT, label_smoothing: Sequence[float]) -> Tensor:
        """[members]: the loss of each member, summed over its targets."""

    def usable_rows(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[RowT]) -> Sequence[RowT]:
        """The rows that can be predicted and scored. Raises DataError for others, unless these are to be skipped."""
        del tokenizer
        return rows

    @abstractmethod
    def validation_rows(self, rows: Sequence[RowT]) -> Sequence[RowT]:
        """The rows of the valid split by which the best epoch is chosen."""

    def validate(
        self, model: Model, rows: Sequence[RowT], examples: Sequence[ExampleT], group: ProcessGroup
    ) -> Validation:
        """The model as it is now, without dropout, on rows and their examples. The processes share the work.

        Raises InterruptedRunError when a process is asked to stop.
        """
        [validation] = self.validate_members(model, rows, examples, group, 1)
        return validation

    @abstractmethod
    def validate_members(
        self,
        model: Model,
        rows: Sequence[RowT],
        examples: Sequence[ExampleT],
        group: ProcessGroup,
        num_members: int,
    ) -> list[Validation]:
        """`validate` for each of several members that share the net."""

    @abstractmethod
    def bucket_length(self, length: int) -> int:
        """By what an example of so many tokens, before anything is cut, is sorted where the order is bucketed."""

    @abstractmethod
    def num_inputs(self, length: int) -> int:
        """How many tokens the model reads of an example of so many, before anything is cut."""

    @abstractmethod
    def inputs(self, example: ExampleT) -> list[int]:
        """The token ids that the model reads of an example."""

    @abstractmethod
    def encode_inputs(
        self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[RowT], options: AnswerOptions | None = None
    ) -> Encoded[Any]:
        """What the model reads to predict every item; with `options`, to answer every row."""

    @abstractmethod
    def num_items(self, rows: Sequence[RowT]) -> int:
        """How many predictions `rows` get."""

    @abstractmethod
    def prediction_batches(self, model: Model, rows: Sequence[RowT]) -> list[list[int]]:
        """The items, by index, that `predict` handles together, in its order: the same ones in every attempt."""

    def predict(
        self, model: Model, rows: Sequence[RowT], batches: Sequence[Sequence[int]], group: ProcessGroup
    ) -> Iterator[list[Prediction]]:
        """The predictions of each batch, as it is done. The processes share the batches, and all get the results.

        Raises InterruptedRunError when a process is asked to stop.
        """
        for [predictions] in self.predict_members(model, rows, batches, group, 1):
            yield predictions

    def can_predict_members(self, model: Model) -> bool:
        """Whether several members that share the net can predict together."""
        del model
        return self.reading == "packed"

    @abstractmethod
    def predict_members(
        self,
        model: Model,
        rows: Sequence[RowT],
        batches: Sequence[Sequence[int]],
        group: ProcessGroup,
        num_members: int,
    ) -> Iterator[list[list[Prediction]]]:
        """`predict` for each of several members that share the net: of each batch a list a member."""

    @abstractmethod
    def lines(self, rows: Sequence[RowT], predictions: Sequence[Prediction]) -> list[JsonObject]:
        """One JSON object an item, for predictions/<split>.jsonl. `predictions` has every item, by index."""

    @abstractmethod
    def score(self, rows: Sequence[RowT], predictions: Sequence[Prediction]) -> Scores:
        """The scores of all predictions, by index."""

    @abstractmethod
    def answers(
        self, model: Model, rows: Sequence[RowT], options: AnswerOptions, group: ProcessGroup
    ) -> Iterator[tuple[int, Answered]]:
        """(index, answer) for every row, as batches are done. Raises InterruptedRunError when asked to stop."""

    @abstractmethod
    def missing_metrics(self) -> Mapping[str, str]:
        """Scores that cannot be computed here, each with the reason.

        Raises RecipeError for a metric that there is not, or that compares something else, and NotFoundError for a
        metric of the evaluate library that cannot be loaded.
        """

    def notes(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        """What of its settings has no effect with this base, and which tokens the base does not know."""
        note = self.encoder(tokenizer).vocabulary.note()
        return [] if note is None else [note]

    def settings(self) -> Mapping[str, Any]:
        """What besides the weights decides the predictions, as JSON."""
        return {}

    def prepare(self, model: Model) -> None:
        """Let the net take packed rows, where it can."""
        if self.reading == "packed":
            take_packed_rows(model.net)


AnyObjective = Objective[Any, Any, Any]
