"""Masks found in stock chat templates, held against TRL's training templates, which mark what is generated.

Wherever both write the same text the masks are equal, but for the entries of EXCEPTIONS.
"""

from __future__ import annotations

import importlib.util
import itertools
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lorafit.data.encoding.chat_template import ChatTemplate, Conversation

_TRL = importlib.util.find_spec("trl")
_FOLDER = Path(_TRL.origin).parent / "chat_templates" if _TRL and _TRL.origin else Path("/nowhere")
PAIRS = sorted(path.name.removesuffix("_training.jinja") for path in _FOLDER.glob("*_training.jinja"))

pytestmark = pytest.mark.skipif(not PAIRS, reason="trl is not installed")

VARIABLES = {"bos_token": "<BOS>", "eos_token": "<EOS>", "pad_token": "<PAD>", "unk_token": "<unk>"}
SPECIALS = (*VARIABLES.values(), "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>")

_EMPTY = "trains the empty <think></think> that a prompt can supply"
_OPENING = "trains the opening of the turn, which the prompt writes"
_THOUGHT = f"{_EMPTY}, and the <think> that the prompt writes"
_TURNS = "trains a turn as later ones rewrite it; here it is learned as it was written"
EXCEPTIONS = {
    "deepseek_r1_distill": "refused: the prompt opens a thought, and no turn shows one",
    "deepseekv3": "refused: the prompt opens a thought, and no turn shows one",
    "diffusion_gemma": f"leaves out the token after a call, which hands over to the tool; {_TURNS}",
    "glm4moe": _EMPTY,
    "gptoss": f"{_OPENING}; {_TURNS}",
    "llava_next": "leaves out the space that stands between turns",
    "muse_glimmer": _OPENING,
    "nemotron_3_5_lightning": _THOUGHT,
    "nemotron_3_nano": _THOUGHT,
    "nemotron_3_super": _THOUGHT,
    "nemotron_3_ultra": _THOUGHT,
    "qwen2_5": _OPENING,
    "qwen3": _EMPTY,
    "qwen3_5_nothink": _THOUGHT,
    "qwen3_5_think": _THOUGHT,
    "qwen3_6": _THOUGHT,
    "qwen3_8": _THOUGHT,
}
"""Template -> what TRL's does otherwise; all the others agree on every conversation."""

CALL = {"type": "function", "function": {"name": "multiply", "arguments": {"a": 2, "b": 3}}}
NUMBER = {"type": "number", "description": "a number"}
TOOL = {
    "type": "function",
    "function": {
        "name": "multiply",
        "description": "Multiply two numbers.",
        "parameters": {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]},
        "return": NUMBER,
    },
}


def conversation(num_turns: int, *, system: bool, thinks: bool, calls: bool, open_end: bool) -> Conversation:
    """`num_turns` questions and answers; the first one calls a tool."""
    thought = {"reasoning_content": "Let me see."} if thinks else {}
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] if system else []
    for turn in range(num_turns):
        messages.append({"role": "user", "content": f"Question {turn}?"})
        if calls and turn == 0:
            messages.append({"role": "assistant", "content": "", "tool_calls": [CALL], **thought})
            messages.append({"role": "tool", "name": "multiply", "content": "6"})
        messages.append({"role": "assistant", "content": f"<Answer> {turn}.", **thought})
    if open_end:
        messages.append({"role": "user", "content": "And then?"})
    return Conversation(messages, [TOOL] if calls else None)


_BOTH = (False, True)
_KINDS: list[tuple[int, bool, bool, bool]] = [  # turns, system, thinks, calls
    *((1, *options) for options in itertools.product(_BOTH, _BOTH, _BOTH)),
    *((2, False, *options) for options in itertools.product(_BOTH, _BOTH)),
    *((3, True, thinks, False) for thinks in _BOTH),
    (5, False, False, False),
    (5, True, True, True),
]
CONVERSATIONS = [
    conversation(turns, system=system, thinks=thinks, calls=calls, open_end=turns == 3)
    for turns, system, thinks, calls in _KINDS
]


@cache
def templates(name: str) -> tuple[ChatTemplate, ChatTemplate]:
    """The stock one and the one for training; to compile them takes longer than all else."""
    stock, training = (
        ChatTemplate((_FOLDER / f"{name}{end}.jinja").read_text(encoding="utf-8"), name, VARIABLES, SPECIALS)
        for end in ("", "_training")
    )
    return stock, training


def agreement(name: str, given: Conversation) -> bool | None:
    """Whether both mark the same characters; None where one does not take the conversation, or the texts differ."""
    stock, training = templates(name)
    try:
        text, [theirs] = stock.render(given), training.sequences(given, given.turns())
    except ValueError:
        return None
    if text != theirs.text:
        return None
    try:
        ours = stock.sequences(given, given.turns())
    except ValueError:
        return False
    return len(ours) == 1 and ours[0].text == text and places(ours[0].spans) == places(theirs.spans)


def places(spans: list[tuple[int, int]]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


@pytest.mark.parametrize("name", PAIRS)
def test_masks_of_a_stock_template_are_those_of_its_training_template(name: str) -> None:
    found = [agree for given in CONVERSATIONS if (agree := agreement(name, given)) is not None]
    assert found, "no conversation has one text in both"
    assert all(found) is (name not in EXCEPTIONS), EXCEPTIONS.get(name, "no exception is said")


def test_there_are_all_pairs_and_no_exception_without_one() -> None:
    assert len(PAIRS) == 31
    assert EXCEPTIONS.keys() <= set(PAIRS)


@pytest.mark.parametrize("name", [name for name in PAIRS if "refused" not in EXCEPTIONS.get(name, "")])
def test_every_answer_is_learned_once_and_no_question(name: str) -> None:
    """Whatever the template does with thoughts: over all sequences each answer is learned once."""
    template = ChatTemplate(
        (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8"), name, VARIABLES, SPECIALS
    )
    for given in CONVERSATIONS:
        try:
            found = template.sequences(given, given.turns())
        except ValueError as error:
            refused = (
                "does not take it" if name != "gptoss" else ""
            )  # which drops a thought while it is answered
            if refused in str(error):
                continue
            raise
        spoken = "".join(each.text[a:b] for each in found for a, b in each.spans)
        answers = [m["content"] for m in given.messages if m["role"] == "assistant" and m["content"]]
        assert [spoken.count(answer) for answer in answers] == [1] * len(answers)
        assert "Question" not in spoken
        assert "Be brief" not in spoken
