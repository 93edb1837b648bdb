"""The assistant's turns are found in a conversation by rendering prefixes of it, or the template is refused."""

from __future__ import annotations

import pytest

from lorafit.data.encoding.chat_template import ChatTemplate, Conversation
from lorafit.errors import DataError

USER = "{{ '<|' + m.role + '|>' + m.content + '<|end|>\n' }}"
HEAD = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
PLAIN = "{% for m in messages %}" + USER + "{% endfor %}" + HEAD
FINAL_EOS = PLAIN.replace(
    HEAD, "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "<|assistant|>{% generation %}{{ m.content }}!{% endgeneration %}"
    "{% else %}" + USER + "{% endif %}{% endfor %}" + HEAD
)
# Thinks where it is the last turn, and writes an empty thought where there is none; a switch supplies that.
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.role == 'assistant' and loop.last %}<think>{{ m.reasoning_content or '' }}</think>{% endif %}"
    "{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)
NO_END = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}" + HEAD
PARTS = (
    "{% for m in messages %}<|{{ m.role }}|>{% for part in m.content %}{{ part.text }}{% endfor %}<|end|>\n{% endfor %}"
    + HEAD
)


def conversation(*contents: str, **thoughts: str) -> Conversation:
    """Turns of user and assistant; `a1="…"` is what the assistant thinks in message 1."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    for name, thought in thoughts.items():
        messages[int(name[1:])]["reasoning_content"] = thought
    return Conversation(messages)


def learned(source: str, given: Conversation, wanted: list[int] | None = None) -> list[list[str]]:
    """What is learned of each sequence, as texts."""
    template = ChatTemplate(source, "x", {"eos_token": "<eos>"}, ("<|user|>", "<|end|>"))
    found = template.sequences(given, given.turns() if wanted is None else wanted)
    return [[each.text[a:b] for a, b in each.spans] for each in found]


def test_a_turn_begins_where_its_prompt_ends_and_its_end_is_learned() -> None:
    assert learned(PLAIN, conversation("a", "b", "c", "d")) == [["b<|end|>\n", "d<|end|>\n"]]
    assert learned(PLAIN, conversation("a", "b", "c")) == [["b<|end|>\n"]]
    assert learned(PLAIN, conversation("a", "b", "c", "d"), [3]) == [["d<|end|>\n"]]


def test_a_text_that_spells_a_header_is_no_header() -> None:
    assert learned(PLAIN, conversation("<|assistant|>", "<|user|>a<|end|>", "<|", "<")) == [
        ["<|user|>a<|end|><|end|>\n", "<<|end|>\n"]
    ]


def test_what_ends_a_conversation_is_learned_at_its_end_alone() -> None:
    assert learned(FINAL_EOS, conversation("a", "b", "c", "d")) == [["b<|end|>\n", "d<|end|>\n<eos>"]]


def test_a_template_that_marks_what_is_generated_is_believed() -> None:
    assert learned(MARKED, conversation("a", "b", "c", "d")) == [["b!", "d!"]]
    assert learned(MARKED, conversation("a", "b", "c", "d"), [3]) == [["d!"]]
    assert learned(MARKED, conversation("a", "b", "c", "d"), [1]) == [["b!"]]


def test_an_empty_thought_that_a_prompt_supplies_is_not_learned() -> None:
    assert learned(THINKING, conversation("a", "b")) == [["b<|end|>\n"]]
    assert learned(THINKING, conversation("a", "b", a1="hm")) == [["<think>hm</think>b<|end|>\n"]]
    assert learned(THINKING, conversation("a", "b", "c", "d")) == [["b<|end|>\n", "d<|end|>\n"]]


def test_a_turn_that_is_rewritten_later_is_learned_as_it_was_written() -> None:
    """The thought of the first turn is gone once the second is there: each has a text of its own."""
    found = learned(THINKING, conversation("a", "b", "c", "d", a1="hm", a3="so"))
    assert found == [["<think>hm</think>b<|end|>\n"], ["<think>so</think>d<|end|>\n"]]
    assert learned(THINKING, conversation("a", "b", "c", "d", a1="hm", a3="so"), [3]) == found[1:]


def test_a_turn_without_an_end_is_ended_by_the_next_header() -> None:
    assert learned(NO_END, conversation("a", "b", "c", "d")) == [["b<|user|>", "d"]]


def test_a_template_that_wants_parts_gets_parts() -> None:
    assert learned(PARTS, conversation("a", "b")) == [["b<|end|>\n"]]


OPENS_A_THOUGHT = PLAIN.replace(
    "<|assistant|>{% endif %}", "<|assistant|><think>\n{% endif %}"
)  # no turn shows it
DROPS_A_THOUGHT = PLAIN.replace("m.content", "m.content.split('</think>')[-1]").replace(
    "<|assistant|>{% endif %}", "<|assistant|><think>{% endif %}"
)


@pytest.mark.parametrize(
    ("source", "answer"),
    [(OPENS_A_THOUGHT, "b"), (DROPS_A_THOUGHT, "b"), (DROPS_A_THOUGHT, "<think>hm</think>b")],
)
def test_a_template_whose_turns_do_not_begin_as_its_prompt_is_refused(source: str, answer: str) -> None:
    with pytest.raises(
        ValueError, match="message 2: the chat template of x writes the assistant's turn in another"
    ):
        learned(source, conversation("a", answer))


@pytest.mark.parametrize("source", ["{{ raise_exception('no') }}", "{{ messages[7].content }}", "{% if %}"])
def test_a_template_that_does_not_take_a_conversation_says_so(source: str) -> None:
    with pytest.raises((ValueError, DataError), match="chat template of x"):
        learned(source, conversation("a", "b"))
