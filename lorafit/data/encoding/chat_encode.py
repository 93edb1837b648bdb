"""Conversation -> token ids, and which of them the assistant wrote."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from transformers import PreTrainedTokenizerBase

from lorafit.data.encoding.chat_template import ChatTemplate, Conversation, Rendering, Span
from lorafit.data.encoding.encode import start_of_text
from lorafit.data.encoding.sequences import EncodedSequence
from lorafit.data.rows import ChatRow
from lorafit.errors import Advice, NotFoundError, RecipeError, SetKey

TrainOn = Literal["assistant", "last", "all"]

_SPACE_MARKS = ("Ġ", "▁")  # how a token spells the space at its beginning, which its offsets may leave out


@dataclass(frozen=True)
class ChatFormat:
    """How a tokenizer's conversations are written. `source`: another template than its own."""

    tokenizer: PreTrainedTokenizerBase
    source: str | None = None
    train_on: TrainOn = "assistant"

    def sequences(self, row: ChatRow) -> list[EncodedSequence]:
        """What is learned of a conversation: one example, or more where the template rewrites earlier turns.

        Raises ValueError where the template does not take it, a turn cannot be found in it, or no token is learned.
        """
        template, conversation = self._template(row), _conversation(row)
        if self.train_on == "all":
            text = template.render(conversation)
            return [self._encode(template, Rendering(text, {0: [(0, len(text))]}))]
        wanted = [i for i in conversation.turns() if conversation.messages[i].get("weight", 1)]
        chosen = wanted[-1:] if self.train_on == "last" else wanted
        found = [self._encode(template, each) for each in template.sequences(conversation, chosen)]
        if not any(example.num_targets(example.length) for example in found):
            raise ValueError(f"the chat template of {template.name} leaves no token to be learned")
        return found

    def last_turn(self, row: ChatRow) -> tuple[list[int], list[int]]:
        """The ids before the last turn of the assistant, and those of the turn.

        Raises ValueError as `sequences`.
        """
        template, conversation = self._template(row), _conversation(row)
        last = conversation.turns()[-1]
        rendering = template.sequences(conversation, [last])[0]
        start, end = rendering.spans[0][0], rendering.spans[-1][1]
        before = self._before(template, conversation.before(last), rendering.text[:start])
        return before, self._plain_ids(rendering.text[start:end])

    def prompt(self, row: ChatRow) -> list[int]:
        """The ids from which the assistant's next turn is written. Raises ValueError as `sequences`."""
        template, conversation = self._template(row), _conversation(row)
        return self._before(template, conversation, template.render(conversation, prompt=True))

    def _before(self, template: ChatTemplate, conversation: Conversation, text: str) -> list[int]:
        """The ids of a text that begins with a conversation, in which earlier turns are as they were learned."""
        earlier = conversation.turns() if self.train_on == "assistant" else []
        spans = []
        for found in template.sequences(conversation, earlier)[-1:]:
            spans = [span for span in found.spans if text.startswith(found.text[: span[1]])]
        return [*self._start_ids(text), *(id_ for id_, _ in self._split(text, spans))]

    def written(self, ids: Sequence[int], end_ids: Sequence[int]) -> str:
        """What the assistant wrote, up to the end of its turn, without special tokens."""
        own = list(itertools.takewhile(lambda id_: id_ not in end_ids, ids))
        text = str(self.tokenizer.decode(own, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        end = self._template(ChatRow(())).end.strip()  # where no token stands for it
        return (text.split(end)[0] if end else text).strip()

    @cached_property
    def end_text(self) -> str:
        """What ends a turn where no token stands for it; else ""."""
        return "" if self.end_ids else self._template(ChatRow(())).end.strip()

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end the assistant's turn, by the template."""
        template = self._template(ChatRow(()))
        special = set(self.tokenizer.get_added_vocab().values())
        ends = [id_ for id_ in self._plain_ids(template.end) if id_ in special]
        return tuple(ends[:1])

    def check(self) -> None:
        """Raises RecipeError where there is no template."""
        self._template(ChatRow(()))

    def portable(self) -> str:
        """The template for programs that put nothing before a conversation: with the tokenizer's first token in it."""
        template = self._template(ChatRow(()))
        text = template.render(Conversation([{"role": "user", "content": "a"}]))
        start = self._start_ids(text)
        written = str(self.tokenizer.decode(list(start))) if start else ""
        return f"{{{{- {json.dumps(written)} }}}}{template.source}" if written else template.source

    def leaves_out(self, row: ChatRow) -> bool:
        """Whether the template has no place for thinking or calls that a row has."""
        template, conversation = self._template(row), _conversation(row)
        text = "".join(template.render(conversation).split())
        said = [
            said
            for message in conversation.messages
            for said in (
                message.get("reasoning_content") or message.get("reasoning") or message.get("thinking") or "",
                *(call["function"]["name"] for call in message.get("tool_calls", ())),
            )
        ]
        return any("".join(each.split()) not in text for each in said)

    def _template(self, row: ChatRow) -> ChatTemplate:
        return self._with_tools if row.tools else self._without_tools

    @cached_property
    def _with_tools(self) -> ChatTemplate:
        return self._make([{"type": "function", "function": {"name": "f"}}])

    @cached_property
    def _without_tools(self) -> ChatTemplate:
        return self._make(None)

    def _make(self, tools: list[dict[str, object]] | None) -> ChatTemplate:
        tokenizer = self.tokenizer
        source = self.source
        if source is None:
            try:
                source = tokenizer.get_chat_template(tools=tools)
            except ValueError:
                raise RecipeError(
                    f"{tokenizer.name_or_path}: its tokenizer has no chat template",
                    SetKey("task.template", "chatml", "or another one"),
                ) from None
        variables = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
        return ChatTemplate(source, tokenizer.name_or_path, variables, tuple(tokenizer.get_added_vocab()))

    def _encode(self, template: ChatTemplate, rendering: Rendering) -> EncodedSequence:
        """A token is a target where all of it lies in a span."""
        text, spans = rendering.text, rendering.spans
        tokens = self._split(text, spans)
        start_ids = self._start_ids(text)
        ids = [*start_ids, *(id_ for id_, _ in tokens)]
        is_target = [False] * len(start_ids) + [_lies_in(place, spans) for _, place in tokens]
        if spans and spans[-1][1] == len(text) and not template.end.strip():
            ids, is_target = [*ids, self._end_of_text()], [*is_target, True]
        return EncodedSequence(tuple(ids), tuple(is_target))

    def _split(self, text: str, spans: Sequence[Span]) -> list[tuple[int, Span]]:
        """One tokenization of the whole text, unless a token would reach over the beginning of a span: there the text
        is split, as when it is written."""
        tokens = list(self._tokens(text))
        cuts = [start for start, _ in spans if any(a < start < b for _, (a, b) in tokens)]
        return list(self._tokens(text, cuts)) if cuts else tokens

    def _tokens(self, text: str, cuts: Sequence[int] = ()) -> Iterator[tuple[int, Span]]:
        """Ids with their places in the text, which is tokenized in pieces."""
        if not self.tokenizer.is_fast:
            raise NotFoundError(
                f"{self.tokenizer.name_or_path}: its tokenizer does not say where tokens lie in a text",
                Advice("take a base with a fast one (tokenizer.json)"),
            )
        for start, end in itertools.pairwise([0, *cuts, len(text)]):
            found = self.tokenizer(
                text[start:end], add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            previous = 0
            for id_, (a, b) in zip(found["input_ids"], found["offset_mapping"], strict=True):
                first = min(a, previous) if self._has_space(id_) else a
                yield id_, (start + first, start + b)
                previous = b

    def _has_space(self, id_: int) -> bool:
        return str(self.tokenizer.convert_ids_to_tokens(id_)).startswith(_SPACE_MARKS)

    def _start_ids(self, text: str) -> tuple[int, ...]:
        """The tokenizer's first token, where the template is not its own and does not write it."""
        if self.source is None:
            return ()
        start = start_of_text(self.tokenizer)
        written = str(self.tokenizer.decode(list(start))) if start else ""
        return () if not written or text.startswith(written) else start

    def _plain_ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _end_of_text(self) -> int:
        if self.tokenizer.eos_token_id is None:
            raise NotFoundError(
                f"{self.tokenizer.name_or_path}: its chat template ends no turn, and its tokenizer has no end-of-text "
                f"token (eos_token)"
            )
        return int(self.tokenizer.eos_token_id)


def _conversation(row: ChatRow) -> Conversation:
    return Conversation(row.messages, list(row.tools) or None)


def _lies_in(place: Span, spans: Sequence[Span]) -> bool:
    return any(start <= place[0] and place[1] <= end for start, end in spans)
