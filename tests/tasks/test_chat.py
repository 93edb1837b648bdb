"""Conversations in either spelling become the same messages; anything else is a bad row that says where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorafit.data import ChatRow, RawRow
from lorafit.errors import DataError, RecipeError
from lorafit.tasks import TEMPLATES, Chat, make_task, template_text, template_tokens
from tests.support.row_files import as_csv, as_objects, as_parquet
from tests.support.rows import rows_of

ASK, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def parse(messages: object, **fields: object) -> ChatRow:
    row = make_task("chat").parse(RawRow(7, {"messages": messages, **fields}), "train")
    assert isinstance(row, ChatRow)
    return row


def test_both_spellings_are_one_conversation() -> None:
    shared = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello."},
    ]
    row = make_task("chat").parse(RawRow(1, {"conversations": shared}), "train")
    assert row == parse([{"role": "system", "content": "Be brief."}, ASK, ANSWER])
    assert row == make_task("chat", messages="talk").parse(RawRow(1, {"talk": json.dumps(shared)}), "train")


def test_parts_of_text_are_a_text_and_what_is_null_is_not_there() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]
    assert parse([ASK, {"role": "assistant", "content": parts, "tool_calls": None}]) == parse([ASK, ANSWER])


def test_calls_have_their_arguments_by_name() -> None:
    """OpenAI spells them out as JSON, ShareGPT as a turn of its own."""
    flat = {"name": "f", "arguments": '{"a": 1}'}
    answer = {"role": "tool", "content": "2"}
    wanted = parse([ASK, {"role": "assistant", "content": "", "tool_calls": [CALL]}, answer, ANSWER])
    assert (
        parse([ASK, {"role": "assistant", "content": None, "tool_calls": [flat]}, answer, ANSWER]) == wanted
    )
    shared = [
        {"from": "human", "value": "Hi"},
        {"from": "function_call", "value": json.dumps(flat)},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "Hello."},
    ]
    assert parse(shared) == wanted
    assert parse([ASK, ANSWER], tools=json.dumps([CALL])).tools == (CALL,)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "expected an array of messages"),
        ("[", "messages: not JSON"),
        (3, "expected an array of messages, found 3"),
        (["Hi"], "message 1: expected an object"),
        (
            [{"role": "asistant", "content": "x"}],
            "message 1: unknown role 'asistant'; did you mean 'assistant'",
        ),
        ([{"content": "x"}], "message 1: has no role"),
        ([{"from": "humann", "value": "x"}], "unknown speaker 'humann'; did you mean 'human'"),
        ([ASK, {"role": "assistant"}], "message 2: has no content"),
        ([ASK, {"role": "assistant", "content": " "}], "message 2: the assistant's content is empty"),
        (
            [ASK, {"role": "assistant", "content": [{"type": "image_url"}]}],
            "a part that is no text: 'image_url'",
        ),
        ([ASK, {"role": "assistant", "tool_calls": [{"x": 1}]}], "expected a function with a name"),
        (
            [ASK, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}],
            "expected an object",
        ),
        ([{**ASK, "tool_calls": [CALL]}, ANSWER], "user has tool_calls, which are the assistant's"),
        ([ASK, {"role": "tool", "content": "2"}, ANSWER], "message 2: a tool's answer that follows no call"),
        (
            [ASK, {"role": "system", "content": "x"}, ANSWER],
            "message 2: system must stand in front of all turns",
        ),
        ([ASK], "the assistant says nothing: nothing could be learned"),
        ([ASK, {**ANSWER, "weight": 0}], "every turn of the assistant has weight 0"),
        ([ASK, {**ANSWER, "weight": 2}], "message 2: weight must be 0 or 1"),
        ([ASK, {**ANSWER, "content": "\ud800"}], "half a surrogate pair"),
    ],
)
def test_what_is_no_conversation_says_which_message(messages: object, fault: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse(messages)
    assert fault in str(caught.value)


def test_a_bad_row_is_named_by_its_line_or_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows: list[Any] = [{"messages": [ASK, ANSWER]}, {"messages": [ASK]}, {"message": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        rows_of("chat", train=str(path)).rows("train")
    assert f"{path}:2: the assistant says nothing" in str(caught.value)
    assert f"{path}:3: no column 'messages' or 'conversations'; did you mean 'message'" in str(caught.value)
    skipped = rows_of("chat", train=str(path), on_bad_row="skip")
    assert skipped.rows("train") == [parse([ASK, ANSWER])]
    assert "2 malformed rows were skipped" in skipped.notes[0]


@pytest.mark.parametrize(
    ("name", "place"), [("a.jsonl", ":2:"), ("a.json", ":2:"), ("a.csv", ":3:"), ("a.parquet", ": row 2,")]
)
def test_a_row_knows_where_it_stands_in_its_file(tmp_path: Path, name: str, place: str) -> None:
    """For what its tokenizer's chat template says of it later on."""
    rows = [[json.dumps(each)] for each in ([ASK, ANSWER], [ANSWER, ASK, ANSWER])]
    objects = as_objects(["messages"], rows)
    content = {
        "a.jsonl": "\n".join(objects).encode(),
        "a.json": ("[" + ",\n".join(objects) + "]").encode(),
        "a.csv": as_csv(["messages"], rows),
        "a.parquet": as_parquet(["messages"], rows),
    }
    (tmp_path / name).write_bytes(content[name])
    found = rows_of("chat", train=str(tmp_path / name)).rows("train")[1]
    assert isinstance(found, ChatRow)
    assert found.place == f"{tmp_path / name}{place}"


def test_an_input_is_a_conversation_up_to_the_assistant() -> None:
    task = make_task("chat")
    assert task.parse_input("Hi") == task.parse_input({"messages": [ASK, ANSWER]}) == ChatRow((ASK,))
    with pytest.raises(ValueError, match="no turn but the assistant's"):
        task.parse_input({"messages": [ANSWER]})


def test_rows_with_one_opening_stay_together() -> None:
    task = make_task("chat")
    one, other = (RawRow(1, {"messages": [ASK, {**ANSWER, "content": text}]}) for text in ("a", "b"))
    assert task.key(one) == task.key(other)
    assert task.key(one) != task.key(RawRow(1, {"messages": [{**ASK, "content": "Ho"}, ANSWER]}))


def test_a_template_is_a_name_or_a_file_that_the_task_then_holds(tmp_path: Path) -> None:
    file = tmp_path / "my.jinja"
    file.write_text("{{ messages }}<|turn|>")
    resolved = make_task("chat", template=str(file)).resolve(iter(()))
    file.unlink()
    assert isinstance(resolved, Chat)
    assert resolved.template is not None
    assert template_text(resolved.template) == "{{ messages }}<|turn|>"
    assert template_tokens(resolved.template) == ("<|turn|>",)
    assert resolved.resolve(iter(())) == resolved
    with pytest.raises(ValueError, match="no chat template 'chatlm'; did you mean 'chatml'"):
        make_task("chat", template="chatlm")
    file.write_text("no template")
    with pytest.raises(RecipeError, match="holds no jinja template"):
        make_task("chat", template=str(file)).resolve(iter(()))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_shipped_template_marks_the_assistants_turns(name: str) -> None:
    from lorafit.data.encoding.chat_template import ChatTemplate, Conversation

    text = template_text(name)
    assert all(token in text for token in template_tokens(name))
    template = ChatTemplate(text, name, {"eos_token": "<eos>"})
    system = {"role": "system", "content": "Be brief."}
    given = Conversation([system, ASK, ANSWER, ASK, ANSWER])
    [found] = template.sequences(given, given.turns())
    learned = [found.text[a:b] for a, b in found.spans]
    assert len(learned) == 2
    assert all(each.strip().startswith("Hello.") and len(each.strip()) > len("Hello.") for each in learned)
    assert found.text.startswith(template.render(given.before(2), prompt=True))
    assert found.text.count("Be brief.") == 1
    with pytest.raises(ValueError, match="no place for tools and thinking"):
        template.render(Conversation([ASK, {**ANSWER, "reasoning_content": "hm"}]))
