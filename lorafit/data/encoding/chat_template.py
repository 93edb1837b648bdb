"""A conversation as a model's chat template writes it, and which of its characters are the assistant's.

Most templates do not say which text the assistant writes. It is found by rendering prefixes of the conversation: a turn
begins where the prompt of the turns before it ends, and ends where the conversation would end behind it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import meta
from transformers.utils.chat_template_utils import render_jinja_template

from lorafit.errors import DataError, SetKey
from lorafit.files import JsonObject

Message = JsonObject
Span = tuple[int, int]
"""Where a piece of a text begins, and where it ends, in characters."""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_SEEN = "\ue000seen\ue001"  # a text that no template has
_ERRORS = (
    jinja2.TemplateError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ValueError,
)  # of a template at work


@dataclass(frozen=True)
class Conversation:
    """Messages in the OpenAI shape, and the tools that the assistant may call."""

    messages: Sequence[Message]
    tools: Sequence[JsonObject] | None = None

    def before(self, index: int) -> Conversation:
        """The messages in front of one."""
        return Conversation(self.messages[:index], self.tools)

    def turns(self) -> list[int]:
        """The messages of the assistant, by index."""
        return [i for i, message in enumerate(self.messages) if message["role"] == "assistant"]

    def in_parts(self) -> Conversation:
        """Every content as an array of one text."""
        messages = [
            {**each, "content": [{"type": "text", "text": each["content"]}]}
            if isinstance(each.get("content"), str)
            else each
            for each in self.messages
        ]
        return Conversation(messages, self.tools)


_PROBE = Conversation([{"role": "user", "content": "a"}, {"role": "assistant", "content": _SEEN}])


@dataclass(frozen=True)
class Rendering:
    """A conversation as a text, and what of it the assistant is to learn. `turns`: message index -> its spans."""

    text: str
    turns: Mapping[int, Sequence[Span]]

    @property
    def spans(self) -> list[Span]:
        """Those of all turns, in order."""
        return sorted(span for spans in self.turns.values() for span in spans)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template in jinja.

    `variables` are what it may insert, such as `bos_token`; `name` is whose template it is, in a message;
    `special_tokens` are the texts that are a token by themselves.
    """

    source: str
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    special_tokens: Collection[str] = ()

    def render(self, conversation: Conversation, *, prompt: bool = False, **flags: object) -> str:
        """The conversation as a text; with `prompt`, the assistant's next turn is begun.

        Raises ValueError for a conversation that the template does not take.
        """
        return self._render(conversation, prompt, marks=False, **flags)[0]

    def sequences(self, conversation: Conversation, wanted: Collection[int]) -> list[Rendering]:
        """What the wanted turns are learned from: the whole conversation, where that shows every turn as it was
        written.

        A turn that the template writes in another way once others follow it (thinking is dropped) has a text of its
        own, which ends with it, as when it was written. Raises ValueError where a turn cannot be found.
        """
        if not wanted:
            return []
        if self.marks_generation:
            return [self._marked(conversation, wanted)]
        return _Turns(self, conversation).sequences(sorted(wanted))

    @cached_property
    def marks_generation(self) -> bool:
        """Whether the template says itself what the assistant writes."""
        return _MARKED.search(self.source) is not None

    @cached_property
    def switches(self) -> list[dict[str, bool]]:
        """What makes a prompt say that nothing is thought, or that something is."""
        names = meta.find_undeclared_variables(_parsed(self.source))
        return [{name: value} for name in sorted(names) if "think" in name for value in (False, True)]

    @cached_property
    def end(self) -> str:
        """What follows the assistant's words at the end of a conversation; "" where the next turn ends them."""
        try:
            return self.render(_PROBE).rpartition(_SEEN)[2]
        except ValueError:
            return ""

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether it writes a content only where that is an array of parts."""
        texts = []
        for parts in (False, True):
            try:
                texts.append(self._call(_PROBE.in_parts() if parts else _PROBE, False, marks=False)[0])
            except ValueError:
                texts.append("")
        return _SEEN in texts[1] and _SEEN not in texts[0]

    def _marked(self, conversation: Conversation, wanted: Collection[int]) -> Rendering:
        """What the template itself marks as generated, by turn: those marks that a turn adds are its own."""
        text, marks = self._render(conversation, False, marks=True)
        turns: dict[int, Sequence[Span]] = {}
        first = 0
        for index in conversation.turns():
            is_last = index + 1 == len(conversation.messages)
            before = conversation.before(index + 1)
            end = len(marks if is_last else self._render(before, False, marks=True)[1])
            if index in wanted:
                turns[index] = marks[first:end]
            first = end
        return Rendering(text, turns)

    def _render(
        self, conversation: Conversation, prompt: bool, *, marks: bool, **flags: object
    ) -> tuple[str, list[Span]]:
        given = conversation.in_parts() if self._takes_parts else conversation
        return self._call(given, prompt, marks=marks, **flags)

    def _call(
        self, conversation: Conversation, prompt: bool, *, marks: bool, **flags: object
    ) -> tuple[str, list[Span]]:
        """The text, and with `marks` what the template marks as generated."""
        values: dict[str, Any] = {**self.variables, **flags}
        try:
            made: Any = render_jinja_template(  # which says that it gives a str
                [[{k: v for k, v in each.items() if v is not None} for each in conversation.messages]],
                tools=list(conversation.tools or ()) or None,
                chat_template=self.source,
                return_assistant_tokens_mask=marks,
                add_generation_prompt=prompt,
                **values,
            )
        except jinja2.TemplateSyntaxError as error:
            raise DataError(
                f"the chat template of {self.name} is no jinja template: {error.message} (line {error.lineno})",
                SetKey("task.template", note="to another one"),
            ) from None
        except _ERRORS as error:
            raise ValueError(f"the chat template of {self.name} does not take it: {error}") from None
        texts, spans = made
        return texts[0], list(spans[0]) if spans else []


@dataclass(frozen=True)
class _Turns:
    """The turns of a conversation, found by rendering prefixes of it, each once."""

    template: ChatTemplate
    conversation: Conversation
    _rendered: dict[tuple[object, ...], str] = field(default_factory=dict)

    def sequences(self, wanted: Sequence[int]) -> list[Rendering]:
        """See `ChatTemplate.sequences`."""
        left, count, found = list(wanted), len(self.conversation.messages), []
        while left:
            turns = {i: [span] for i in left if (span := self._span(count, i)) is not None}
            if turns:
                found.append(Rendering(self._text(count), turns))
            elif count == left[-1] + 1:
                raise ValueError(self._unstable(left[-1]))
            left = [i for i in left if i not in turns]
            count = left[-1] + 1 if left else count
        return found[::-1]

    def _text(self, count: int, *, prompt: bool = False, **switch: bool) -> str:
        """The first `count` messages."""
        key = (count, prompt, *switch.items())
        if key not in self._rendered:
            before = self.conversation.before(count)
            self._rendered[key] = self.template.render(before, prompt=prompt, **switch)
        return self._rendered[key]

    def _span(self, count: int, index: int) -> Span | None:
        """Where a turn lies in the first `count` messages; None where it is not as it was when it was written."""
        text, alone = self._text(count), self._text(index + 1)
        start, start_alone = (self._start(index, each) for each in (text, alone))
        if start is None or start_alone is None:
            return None
        turn = alone[start_alone:]
        if not text.startswith(turn, start):
            turn = turn.removesuffix(
                self.template.variables.get("eos_token", "")
            )  # ends a conversation, not a turn
            if not turn or not text.startswith(turn, start):
                return None
        end = start + len(turn)
        if not self.template.end.strip() and index + 1 < count:
            tokens = self.template.special_tokens
            end += max((len(token) for token in tokens if text.startswith(token, end)), default=0)
        return start, end

    def _start(self, index: int, text: str) -> int | None:
        """Where the assistant begins to write the message in a text; None where the text begins in another way.

        What a prompt supplies is not written by the assistant: of several prompts, the one that says most counts.
        """
        prompt = self._text(index, prompt=True)
        starts = [len(prompt)] if text.startswith(prompt) else []
        said = str(self.conversation.messages[index].get("content") or "").strip()
        if starts and said and text.startswith(said, starts[0]):
            return starts[0]
        for switch in self.template.switches:
            switched = self._text(index, prompt=True, **switch)
            if text.startswith(switched):
                starts.append(len(switched))
            if starts and prompt.startswith(bare := self._text(index)):
                supplied = switched.removeprefix(bare_switched := self._text(index, **switch))
                if switched.startswith(bare_switched) and text.startswith(supplied, len(bare)):
                    starts.append(len(bare) + len(supplied))
        return max(starts, default=None)

    def _unstable(self, index: int) -> str:
        return (
            f"message {index + 1}: the chat template of {self.template.name} writes the assistant's turn in another "
            f"way than its prompt begins it, so that what the assistant writes cannot be told from what it is given"
        )


def _parsed(source: str) -> Any:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return _compile_jinja_template(source).environment.parse(source)
