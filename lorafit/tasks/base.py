"""What a task is: where its rows are, how a row becomes an example, how predictions are scored. It knows no tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lorafit.data.encode import TextPair
from lorafit.data.sources import Split
from lorafit.models.model import OutputKind


@dataclass(frozen=True)
class Task(ABC):
    """A data set and its protocol."""

    name: str
    headline: str  # the score a table shows first

    output: ClassVar[OutputKind]


@dataclass(frozen=True)
class ReferenceGroup:
    """One context with every text that is a right answer to it; `part` as in TextPair."""

    context: str
    references: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True)
class GenerationTask(Task):
    """A text that follows a context, scored against several references."""

    file_names: Mapping[Split, str]  # of each split inside `data.dir`
    num_train_rows: int  # of the original data, for planning without it

    output: ClassVar[OutputKind] = "text"

    @abstractmethod
    def read(self, path: Path) -> list[TextPair]:
        """All rows of a raw file, in file order. Raises NotFoundError that names file and line."""


def group_references(pairs: Sequence[TextPair]) -> list[ReferenceGroup]:
    """Rows with the same context together, in order of first appearance (paper's gpt2_decode.py)."""
    references: dict[str, list[str]] = {}
    part: dict[str, str] = {}
    for pair in pairs:
        references.setdefault(pair.context, []).append(pair.completion)
        part.setdefault(pair.context, pair.part)
    return [ReferenceGroup(context, tuple(texts), part[context]) for context, texts in references.items()]
