"""Rows: raw as a file has them, and typed as a task makes them, before any tokenizer sees them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from typing_extensions import override

from lorafit.files import JsonObject

Label = float | tuple[int, ...]
"""The index of a class, or a score; where a text may be in several classes, 1 or 0 for each."""


def single(label: Label) -> float:
    """A label that is one number. Raises TypeError for one of several classes."""
    match label:
        case tuple():
            raise TypeError("a label of several classes is no number")
    return label


@dataclass(frozen=True)
class RawRow:
    """A row of a file. `line` counts from 1 (lines, entries or rows, as its reader says).

    `fault` says why there are no fields; with `left_out` it is none of the file's: the data set has rows of other kinds
    than the paper's, which its reader passes over. `part` is the part of the split, where the file format tells it.
    """

    line: int
    fields: Mapping[str, object]
    fault: str = ""
    part: str = ""
    left_out: bool = False


class TypedRow(ABC):
    """A row of any task. `cells` are its fields as JSON, and `of_cells` makes the same row of them."""

    @abstractmethod
    def cells(self) -> list[Any]: ...

    @classmethod
    @abstractmethod
    def of_cells(cls, cells: Sequence[Any]) -> Self: ...

    def at(self, place: str) -> Self:
        """The same row. One that may be refused when it becomes tokens remembers its place in a file for that."""
        del place
        return self


@dataclass(frozen=True)
class TextRow(TypedRow):
    """A prompt and the text that shall follow it; `part` is the part of the split, such as WebNLG's "seen"."""

    prompt: str
    completion: str
    part: str = ""

    @override
    def cells(self) -> list[Any]:
        return [self.prompt, self.completion, self.part]

    @classmethod
    @override
    def of_cells(cls, cells: Sequence[Any]) -> Self:
        return cls(*cells)

    def to_json(self) -> JsonObject:
        """As files of lorafit spell it: the prompt is the context there."""
        return {"context": self.prompt, "completion": self.completion, "part": self.part}


@dataclass(frozen=True)
class LabelRow(TypedRow):
    """One text or several, by the name of their column; `part` is the part of the split, such as MNLI's "matched".

    `label` is None where it is not known, as in GLUE's test splits.
    """

    texts: Mapping[str, str]
    label: Label | None
    part: str = ""

    @override
    def cells(self) -> list[Any]:
        return [dict(self.texts), self.label, self.part]

    @classmethod
    @override
    def of_cells(cls, cells: Sequence[Any]) -> Self:
        texts, label, part = cells
        return cls(texts, tuple(label) if isinstance(label, list) else label, part)

    def to_json(self) -> JsonObject:
        """As files of lorafit spell it."""
        return {"texts": dict(self.texts), "label": self.label, "part": self.part}


@dataclass(frozen=True)
class ChatRow(TypedRow):
    """A conversation: messages and tools in the OpenAI shape; `part` is the part of the split.

    `place` is where it stands, for messages alone: "chats.jsonl:7:".
    """

    messages: tuple[JsonObject, ...]
    tools: tuple[JsonObject, ...] = ()
    part: str = ""
    place: str = field(default="", compare=False, repr=False)

    @override
    def at(self, place: str) -> ChatRow:
        return replace(self, place=place)

    @override
    def cells(self) -> list[Any]:
        return [self.messages, self.tools, self.part, self.place]

    @classmethod
    @override
    def of_cells(cls, cells: Sequence[Any]) -> Self:
        messages, tools, part, place = cells
        return cls(tuple(messages), tuple(tools), part, place)

    def to_json(self) -> JsonObject:
        """As files of lorafit spell it."""
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {"messages": list(self.messages), **tools, "part": self.part}


@dataclass(frozen=True)
class DocumentRow(TypedRow):
    """A text of any length; `part` is the part of the split. `goes_on`: it is a passage, and the text does not end."""

    text: str
    part: str = ""
    goes_on: bool = False

    @override
    def cells(self) -> list[Any]:
        return [self.text, self.part, self.goes_on]

    @classmethod
    @override
    def of_cells(cls, cells: Sequence[Any]) -> Self:
        return cls(*cells)

    def to_json(self) -> JsonObject:
        """As files of lorafit spell it."""
        return {"text": self.text, "part": self.part, "goes_on": self.goes_on}


Row = TextRow | LabelRow | ChatRow | DocumentRow
ROW_TYPES: dict[str, type[Row]] = {row.__name__: row for row in (TextRow, LabelRow, ChatRow, DocumentRow)}
