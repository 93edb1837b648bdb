"""Conversations, of which the assistant's turns are learned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator
from typing_extensions import override

from lorafit.data.cells import shown_names
from lorafit.data.rows import ChatRow, RawRow
from lorafit.errors import NotFoundError, RecipeError, SetKey, did_you_mean
from lorafit.files import JsonObject
from lorafit.metrics import Metric
from lorafit.metrics.scorers import SCORERS
from lorafit.metrics.scoring import find_metric, text_metrics
from lorafit.recipe import Split
from lorafit.tasks.base import WritingTask
from lorafit.tasks.chat_templates import TEMPLATES, is_template, template_text, template_tokens
from lorafit.tasks.messages import is_written, parse_messages, parse_tools

COLUMNS = ("messages", "conversations")


class Chat(WritingTask):
    """Answer in a conversation, as the model's chat template writes it."""

    kind: ClassVar[str] = "chat"

    messages: str | None = None
    """Column of the conversation: an array of messages with role and content, or with from and value; a text is read as
    JSON. Without it: "messages", or "conversations"."""
    tools: str = "tools"
    """Column of the tools that may be called, where rows have it."""
    train_on: Literal["assistant", "last", "all"] = "assistant"
    """What is learned. assistant: the assistant's turns, but those with weight 0; last: the last of them; all: every
    token of the conversation."""
    template: str | None = None
    """Chat template: one of lorafit's, such as "chatml", or a jinja file. Without it: that of the base's tokenizer."""

    @field_validator("template")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is None or value in TEMPLATES or is_template(value) or Path(value).is_file():
            return value
        hint = did_you_mean(value, TEMPLATES) or ";"
        raise ValueError(
            f"no chat template {value!r}{hint} there are {', '.join(TEMPLATES)}, or a jinja file"
        )

    @property
    @override
    def chat_template(self) -> str | None:
        return None if self.template is None else template_text(self.template)

    @property
    @override
    def tokens(self) -> tuple[str, ...]:
        return () if self.template is None else template_tokens(self.template)

    @override
    def find_metrics(self, names: Sequence[str] | None) -> list[Metric[Any, Any]]:
        """Perplexity, and how the last turns compare with those that the model writes."""
        chosen = self.metrics if names is None else names
        perplexity = [] if chosen is not None else [find_metric("perplexity", "text")]
        return [*perplexity, *text_metrics(SCORERS["plain"], chosen)]

    @override
    def columns(self, split: Split) -> tuple[str, ...]:
        own = () if self.messages is None else (self.messages,)
        return own if self.part is None else (*own, self.part)

    @property
    @override
    def input_columns(self) -> tuple[str, ...]:
        return (self.messages or COLUMNS[0],)

    @override
    def key(self, row: RawRow) -> str:
        """What stands before the assistant's first turn."""
        messages = self._messages(row.fields)
        first = next((i for i, each in enumerate(messages) if each["role"] == "assistant"), len(messages))
        return json.dumps(messages[:first] or messages, sort_keys=True)

    @override
    def parse(self, row: RawRow, split: Split) -> ChatRow:
        messages = self._messages(row.fields)
        if not any(map(is_written, messages)):
            silent = any(each["role"] == "assistant" for each in messages)
            said = "every turn of the assistant has weight 0" if silent else "the assistant says nothing"
            raise ValueError(f"{said}: nothing could be learned")
        tools = parse_tools(self.tools, row.fields.get(self.tools))
        return ChatRow(messages, tools, self.part_of(row))

    @override
    def parse_input(self, given: str | Mapping[str, object]) -> ChatRow:
        """A text is what the user says. A conversation that ends with the assistant's turn loses it."""
        if isinstance(given, str):
            return ChatRow(parse_messages("the text", [{"role": "user", "content": given}]))
        messages = self._messages(given)
        while messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        if not messages:
            raise ValueError("the conversation has no turn but the assistant's")
        return ChatRow(messages, parse_tools(self.tools, given.get(self.tools)))

    @override
    def resolve(self, rows: Iterable[RawRow]) -> Self:
        """With its headline, and the text of a template that is a file."""
        template = self.template
        if template is not None and template not in TEMPLATES and not is_template(template):
            template = _read(Path(template))
        return self.model_copy(update={"template": template, "headline": self.headline_score})

    def _messages(self, fields: Mapping[str, object]) -> tuple[JsonObject, ...]:
        names = COLUMNS if self.messages is None else (self.messages,)
        column = next((name for name in names if name in fields), None)
        if column is None:
            has = shown_names(fields) or "nothing"
            hint = next((text for name in names if (text := did_you_mean(name, fields))), ";")
            raise ValueError(f"no column {' or '.join(map(repr, names))}{hint} it has {has}")
        return parse_messages(column, fields[column])


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path}: cannot be read as a chat template: {error}") from None
    if not is_template(text):
        raise RecipeError(
            f"[task] template: {path} holds no jinja template",
            SetKey("task.template", note="to a jinja file"),
        )
    return text
