"""Conversations as token ids: what is learned is what the model writes when it decodes, token by token."""

from __future__ import annotations

import pytest
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from lorafit.data import ChatRow
from lorafit.data.encoding.chat_encode import ChatFormat
from lorafit.data.encoding.sequences import EncodedSequence
from lorafit.errors import RecipeError
from lorafit.models import FAMILIES
from lorafit.tasks import template_text

ASK, ANSWER = {"role": "user", "content": "Où est-il?"}, {"role": "assistant", "content": "Là-bas 🏠."}
ROW = ChatRow((ASK, ANSWER, {**ASK, "content": "And who?"}, {**ANSWER, "content": "Nobody knows."}))
CHATML = template_text("chatml").replace("{%- generation %}", "").replace("{%- endgeneration %}", "")
COLON = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer(
    template: str | None, *, first: str = "", tokens: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level BPE; `first` is a token that it puts before a text."""
    made = FAMILIES["gpt2"].tiny_tokenizer(["user: Où est-il? And who? assistant: Nobody knows. Là-bas."] * 9)
    made.add_tokens(list(tokens), special_tokens=True)
    if first:
        made.add_special_tokens({"bos_token": first})
        backend = made.backend_tokenizer
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, made.bos_token_id)]
        )
        made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=first, eos_token=made.eos_token)
    made.chat_template = template
    return made


def learned(made: PreTrainedTokenizerFast, example: EncodedSequence) -> str:
    kept = zip(example.ids, example.is_target, strict=True)
    return str(made.decode([id_ for id_, is_target in kept if is_target]))


@pytest.mark.parametrize("tokens", [(), ("<|im_start|>", "<|im_end|>")])
def test_ids_are_those_of_the_template_and_the_answers_with_their_end_are_learned(
    tokens: tuple[str, ...],
) -> None:
    made = tokenizer(CHATML, tokens=tokens)
    [example] = ChatFormat(made).sequences(ROW)
    whole = made.apply_chat_template(list(ROW.messages), return_dict=False)
    assert isinstance(whole, list)
    assert list(example.ids) == whole
    assert learned(made, example) == "Là-bas 🏠.<|im_end|>\nNobody knows.<|im_end|>\n"
    prompt, turn = ChatFormat(made).last_turn(ROW)
    before = made.apply_chat_template(list(ROW.messages[:3]), add_generation_prompt=True, return_dict=False)
    assert prompt == before
    assert [*prompt, *turn] == whole


@pytest.mark.parametrize(
    ("train_on", "wanted"),
    [("assistant", "Nobody knows.<|im_end|>\n"), ("last", "Nobody knows.<|im_end|>\n")],
)
def test_a_turn_with_weight_0_is_read_and_not_learned(train_on: str, wanted: str) -> None:
    made = tokenizer(CHATML)
    messages = (ASK, {**ANSWER, "weight": 0}, *ROW.messages[2:])
    [example] = ChatFormat(made, train_on=train_on).sequences(ChatRow(messages))  # type: ignore[arg-type]
    assert learned(made, example) == wanted


def test_all_is_every_token() -> None:
    made = tokenizer(CHATML)
    [example] = ChatFormat(made, train_on="all").sequences(ROW)
    assert all(example.is_target)
    assert example.num_targets(10**6) == len(example.targets(10**6)) == example.length - 1


def test_a_token_over_the_beginning_of_a_turn_is_split_as_in_decoding() -> None:
    """The prompt ends with a blank, which belongs to the first word of the answer where both are one text."""
    made = tokenizer(COLON)
    [example] = ChatFormat(made).sequences(ROW)
    assert learned(made, example) == "Là-bas 🏠.<|endoftext|>Nobody knows.<|endoftext|>"
    prompt, turn = ChatFormat(made).last_turn(ROW)
    assert list(example.ids) == [*prompt, *turn]
    assert [*prompt, *turn] != made(made.decode([*prompt, *turn]), add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_a_first_token_stands_there_once(writes: bool, own: bool) -> None:
    """A tokenizer's own template is taken as it is; another one has the tokenizer's first token before it."""
    template = ("{{ bos_token }}" if writes else "") + CHATML
    made = tokenizer(template if own else None, first="<bos>")
    form = ChatFormat(made, None if own else template)
    [example] = form.sequences(ROW)
    count = int(writes or not own)
    assert list(example.ids).count(made.bos_token_id) == count
    assert list(example.ids[:count]) == [made.bos_token_id] * count
    assert form.prompt(ChatRow((ASK,)))[:count] == [made.bos_token_id] * count
    made.chat_template = form.portable()
    assert made.apply_chat_template(list(ROW.messages), return_dict=False) == list(example.ids)


def test_a_turn_that_nothing_ends_gets_the_end_of_text() -> None:
    made = tokenizer(
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    [example] = ChatFormat(made).sequences(ROW)
    assert (example.ids[-1], example.is_target[-1]) == (made.eos_token_id, True)
    assert learned(made, example) == "Là-bas 🏠.Nobody knows.<|endoftext|>"


def test_what_ends_a_turn_is_known_to_the_decoder() -> None:
    made = tokenizer(CHATML, tokens=("<|im_start|>", "<|im_end|>"))
    form = ChatFormat(made)
    assert form.end_ids == (made.convert_tokens_to_ids("<|im_end|>"),)
    _, turn = form.last_turn(ROW)
    assert form.written(turn, form.end_ids) == "Nobody knows."
    spelt = ChatFormat(tokenizer(CHATML))  # the end is a text of several tokens
    assert spelt.end_ids == ()
    assert spelt.written(spelt.last_turn(ROW)[1], (0,)) == "Nobody knows."


def test_a_conversation_of_which_no_token_is_learned_is_refused() -> None:
    unmarked = CHATML + "{% if false %}{% generation %}{% endgeneration %}{% endif %}"
    with pytest.raises(ValueError, match="leaves no token to be learned"):
        ChatFormat(tokenizer(unmarked)).sequences(ROW)


def test_without_a_template_it_is_said() -> None:
    with pytest.raises(RecipeError, match=r"its tokenizer has no chat template; set task\.template=chatml"):
        ChatFormat(tokenizer(None)).check()
    ChatFormat(tokenizer(None), template_text("plain")).check()
