"""What a task is: where its rows are, how a row becomes an example, how it is scored. It knows no tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafit.data.encode import PromptStart, Separator
from lorafit.data.originals import SPLITS, DataSet, Split
from lorafit.data.rows import TextRow
from lorafit.data.sources import has_split, split_path
from lorafit.errors import NotFoundError
from lorafit.metrics import Kind, Metric, TextMetric
from lorafit.metrics.scorers import SCORERS, Scorer
from lorafit.metrics.scoring import text_metrics
from lorafit.recipe import DataSection

Tell = Callable[[str], None]
"""Who hears what is worth knowing about the data, such as rows that were left out."""


def ignore(_: str) -> None:
    """A Tell that keeps it to itself."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A data set and its protocol."""

    name: str
    headline: str  # the score a table shows first
    num_train_rows: int  # of the original data, for planning without it

    output: Kind
    labels: tuple[str, ...] | None = None  # in the order of the classifier's outputs
    scored_split: Split = "test"  # on which a run is scored in the end

    @property
    def num_outputs(self) -> int | None:
        """Outputs of the classification head; None where there is no head."""
        return len(self.labels) if self.labels else (1 if self.output == "score" else None)

    @abstractmethod
    def splits(self, data: DataSection) -> list[Split]:
        """The splits for which `data` says where they are."""

    @abstractmethod
    def read(self, data: DataSection, split: Split, tell: Tell = ignore) -> list[Any]:
        """The examples of a split, in file order.

        Raises NotFoundError that names the file, and the line of a row that cannot be used.
        """

    @abstractmethod
    def find_metrics(self, names: Sequence[str] | None) -> list[Metric[Any, Any]]:
        """The metrics by which predictions are scored: those of the task's own scorer (None), or those named.

        Raises RecipeError where there is no such metric, or it compares something else.
        """

    @abstractmethod
    def count_train_rows(self, data: DataSection) -> int | None:
        """Training rows where the data are at hand, without asking the network; else None.

        Raises NotFoundError for a file that `data` names and that is not there.
        """


@dataclass(frozen=True)
class ReferenceGroup:
    """One prompt with every text that is a right answer to it; `part` as in TextRow."""

    prompt: str
    references: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class GenerationTask(Task):
    """A text that follows a context, scored against several references."""

    original: DataSet  # the paper's files
    scorer: Scorer = SCORERS["plain"]
    separator: Separator = "eos"  # the token between context and completion
    completion_prefix: str = " "
    stop_text: str = "\n\n"  # a text ends before it; "" turns that off
    prompt_start: PromptStart = "none"  # the first token of a prompt: none, or as the tokenizer has it

    output: Kind = "text"

    @abstractmethod
    def read_file(self, path: Path) -> list[TextRow]:
        """All rows of a raw file, in file order. Raises NotFoundError that names file and line."""

    def splits(self, data: DataSection) -> list[Split]:
        """Those named one by one, or all that `data.dir` holds."""
        return [split for split in SPLITS if has_split(data, split)]

    def read(self, data: DataSection, split: Split, tell: Tell = ignore) -> list[TextRow]:  # noqa: ARG002
        """The pairs of the split's file."""
        return self.read_file(split_path(data, split, self.original))

    def find_metrics(self, names: Sequence[str] | None) -> list[TextMetric]:
        """Those of the scorer, or those named."""
        return text_metrics(self.scorer, names)

    def count_train_rows(self, data: DataSection) -> int | None:
        """The pairs of the training file, if it is there."""
        try:
            path = split_path(data, "train", self.original)
        except NotFoundError:
            if data.train is not None:
                raise
            return None
        return len(self.read_file(path))


def group_references(pairs: Sequence[TextRow]) -> list[ReferenceGroup]:
    """Rows with the same context together, in order of first appearance (paper's gpt2_decode.py)."""
    references: dict[str, list[str]] = {}
    part: dict[str, str] = {}
    for pair in pairs:
        references.setdefault(pair.prompt, []).append(pair.completion)
        part.setdefault(pair.prompt, pair.part)
    return [ReferenceGroup(context, tuple(texts), part[context]) for context, texts in references.items()]
