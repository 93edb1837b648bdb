"""What a task is: what the columns of a row mean, what is learned of them, and how it is scored.

A task is the `[task]` section of a recipe. It knows no tokenizer, no net, no file and no layout of a run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from typing_extensions import override

from lorafit.data.cells import name_of
from lorafit.data.rows import Label, RawRow, Row, single
from lorafit.errors import lookup
from lorafit.files import JsonObject
from lorafit.metrics import Kind, Metric
from lorafit.recipe import Split, TaskSection

Answer = str | float | tuple[str, ...]
"""What people read: a text, the name of a class, several of them, or a score."""


class Task(TaskSection, ABC):
    """What the columns of a row mean, and how predictions are scored.

    A field that is None is filled by `resolve`, so that a finished run says all of it.
    """

    kind: ClassVar[str]
    output: ClassVar[Kind]  # what a model gives for a row

    metrics: tuple[str, ...] | None = None
    """Metrics to score by. Without it: the task's usual ones."""
    headline: str | None = None
    """The score that tables show first and, of a task with labels, the one that chooses the best epoch; of a split in
    parts, such as "matched.accuracy", that of a part. Without it: the first one."""
    part: str | None = None
    """Column that says to which part of its split a row belongs; each part is scored by itself too. Without it: one
    part, or as the file format says."""
    score_on: Literal["valid", "test"] | None = None
    """The split on which a run is scored in the end. Without it: test where there is one, else valid."""

    if TYPE_CHECKING:  # a field of one task and a property of others, which pydantic would warn of

        @property
        def labels(self) -> tuple[str, ...] | None:
            """The names of the classes, in the order of the model's outputs; None where there are none."""
            ...

    @property
    @abstractmethod
    def num_outputs(self) -> int | None:
        """Outputs of the model's head; None where it writes texts."""

    @abstractmethod
    def find_metrics(self, names: Sequence[str] | None) -> Sequence[Metric[Any, Any]]:
        """The metrics by which predictions are scored: the task's own (None), or those named.

        Raises RecipeError where there is no such metric, or it compares something else.
        """

    @property
    def headline_score(self) -> str:
        """`headline`, or what it is without one. Raises RecipeError for one that the metrics do not give."""
        metrics = self.find_metrics(None)
        keys = [key for metric in metrics for key in metric.keys]
        if self.headline is None:
            return metrics[0].headline
        if all(metric.keys for metric in metrics):  # those of a foreign library are known when it is computed
            lookup(dict.fromkeys(keys), self.headline.rpartition(".")[2], "score", where="[task] headline")
        return self.headline

    @abstractmethod
    def columns(self, split: Split) -> tuple[str, ...]:
        """The columns that a row of a split must have."""

    @property
    @abstractmethod
    def input_columns(self) -> tuple[str, ...]:
        """The columns that the model reads; the others say what is learned."""

    @abstractmethod
    def key(self, row: RawRow) -> str:
        """What rows share that must lie in one split. Raises ValueError for a malformed row."""

    @abstractmethod
    def parse(self, row: RawRow, split: Split) -> Row:
        """The typed row. In the test split a label may be missing. Raises ValueError for a malformed row."""

    @abstractmethod
    def parse_input(self, given: str | Mapping[str, object]) -> Row:
        """The typed row of something to predict: a text, or fields by column. It has no answer yet.

        Raises ValueError for a field that is missing or malformed, and for one text where several are read.
        """

    @abstractmethod
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """The task with everything that it takes from its training rows, which are read only where they are needed.

        Raises DataError for rows from which nothing can be learned.
        """

    @property
    def chat_template(self) -> str | None:
        """The jinja source by which conversations are written; None: the tokenizer's own, or there are none."""
        return None

    @property
    def tokens(self) -> tuple[str, ...]:
        """What must be a token by itself; the base gets rows for those that its tokenizer lacks."""
        return ()

    def scored_split(self, available: Sequence[Split]) -> Split:
        """The split on which a run is scored in the end, of those for which there is a place."""
        return self.score_on or ("test" if "test" in available else "valid")

    def label_text(self, label: Label) -> Answer:
        """A label as people read it: the name of a class, several of them, a score as it is."""
        return single(label)

    def part_of(self, row: RawRow) -> str:
        """The part of the split to which a row belongs. Raises ValueError for "all", and for what is no name."""
        if self.part is None:
            return row.part
        try:
            name = name_of(row.fields.get(self.part))
        except ValueError as error:
            raise ValueError(f"{self.part}: {error}") from None
        if name == "all":
            raise ValueError(
                f"{self.part} is 'all', which scores call everything; give the part another name"
            )
        return name

    def options(self) -> JsonObject:
        """Name, kind and every option as JSON, from which `read_task` restores it."""
        fields = self.model_dump(mode="json")
        return {"name": fields.pop("name"), "kind": self.kind, **fields}


class WritingTask(Task):
    """A task of which a model writes texts: it has no classes and no head of its own."""

    output: ClassVar[Kind] = "text"

    @property
    def labels(self) -> None:
        """None: a text has no classes."""
        return

    @property
    @override
    def num_outputs(self) -> None:
        return
