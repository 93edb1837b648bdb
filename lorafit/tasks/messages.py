"""Conversations as files spell them -> messages in the OpenAI shape. Spelt as role and content, or from and value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lorafit.data.cells import shown, text_of
from lorafit.errors import did_you_mean
from lorafit.files import JsonObject

ROLES = ("system", "developer", "user", "assistant", "tool")

_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Who speaks in `from` -> the role."""

_REASONING = ("reasoning_content", "reasoning", "thinking")


def parse_messages(column: str, value: object) -> tuple[JsonObject, ...]:
    """A conversation, which may be written out as JSON. Raises ValueError that names the message."""
    given = _from_json(column, value)
    if not isinstance(given, list) or not given:
        raise ValueError(f"{column}: expected an array of messages, found {shown(value)}")
    messages: list[JsonObject] = []
    for number, each in enumerate(given, start=1):
        where = f"{column}: message {number}"
        if not isinstance(each, dict):
            raise ValueError(f"{where}: expected an object, found {shown(each)}")
        message = _from_speaker(where, each) if "from" in each and "role" not in each else dict(each)
        messages.append(_message(where, message))
        _check_order(where, messages)
    return tuple(messages)


def parse_tools(column: str, value: object) -> tuple[JsonObject, ...]:
    """The tools that may be called, which may be written out as JSON. Raises ValueError for anything else."""
    given = _from_json(column, value)
    if given is None or given == "":
        return ()
    if not isinstance(given, list):
        raise ValueError(f"{column}: expected an array of tools, found {shown(value)}")
    tools = []
    for number, tool in enumerate(given, start=1):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(f"{column}: tool {number}: expected a function with a name, found {shown(tool)}")
        tools.append(_json_only(f"{column}: tool {number}", tool))
    return tuple(tools)


def is_written(message: Mapping[str, object]) -> bool:
    """Whether the assistant wrote a message, and it counts (OpenAI's `weight` is not 0)."""
    return message["role"] == "assistant" and message.get("weight", 1) != 0


def _message(where: str, message: JsonObject) -> JsonObject:
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = did_you_mean(str(role), ROLES) or f"; there are {', '.join(ROLES)}"
        what = "has no role" if role is None else f"unknown role {shown(role)}"
        raise ValueError(f"{where}: {what}{known}")
    found = {key: value for key, value in message.items() if value is not None}
    if "tool_calls" in found:
        found["tool_calls"] = _tool_calls(where, found["tool_calls"])
        if not found["tool_calls"]:
            del found["tool_calls"]
    if "content" in found:
        found["content"] = _content(where, found["content"])
    elif "tool_calls" in found:
        found["content"] = ""
    for key in _REASONING:
        if key in found:
            found[key] = text_of(f"{where}: {key}", found[key])
    _check_said(where, found)
    return _json_only(where, found)


def _check_said(where: str, message: JsonObject) -> None:
    """A message must say something, and a turn of others may not call tools."""
    role, calls = message["role"], "tool_calls" in message
    if "content" not in message:
        raise ValueError(f"{where}: has no content")
    if calls and role != "assistant":
        raise ValueError(f"{where}: {role} has tool_calls, which are the assistant's")
    if role in ("user", "assistant") and not calls and not message["content"].strip():
        raise ValueError(f"{where}: the {role}'s content is empty")
    if message.get("weight", 1) not in (0, 1):
        raise ValueError(f"{where}: weight must be 0 or 1, found {shown(message['weight'])}")


def _check_order(where: str, messages: Sequence[JsonObject]) -> None:
    """A tool answers a call, and what is said to the assistant stands before the first turn."""
    role = messages[-1]["role"]
    before = messages[-2] if len(messages) > 1 else None
    if role == "tool" and not (before and (before["role"] == "tool" or "tool_calls" in before)):
        raise ValueError(f"{where}: a tool's answer that follows no call")
    if role in ("system", "developer") and before and before["role"] not in ("system", "developer"):
        raise ValueError(f"{where}: {role} must stand in front of all turns")


def _from_speaker(where: str, message: Mapping[str, object]) -> JsonObject:
    """A message with from and value, as ShareGPT has it."""
    speaker = message["from"]
    if not isinstance(speaker, str) or speaker not in _SPEAKERS:
        known = did_you_mean(str(speaker), _SPEAKERS) or f"; there are {', '.join(_SPEAKERS)}"
        raise ValueError(f"{where}: unknown speaker {shown(speaker)}{known}")
    rest = {key: value for key, value in message.items() if key not in ("from", "value")}
    if speaker == "function_call":
        call = _from_json(where, message.get("value"))
        return {**rest, "role": "assistant", "tool_calls": call if isinstance(call, list) else [call]}
    return {**rest, "role": _SPEAKERS[speaker], "content": message.get("value")}


def _content(where: str, value: object) -> str:
    """A text, or an array of parts that are all text."""
    if not isinstance(value, list):
        return text_of(f"{where}: content", value)
    texts = []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if not isinstance(part, dict) or kind not in ("text", "input_text", "output_text"):
            raise ValueError(f"{where}: content has a part that is no text: {shown(kind or part)}")
        texts.append(text_of(f"{where}: content", part.get("text")))
    return "".join(texts)


def _tool_calls(where: str, value: object) -> list[JsonObject]:
    """Calls with a name and arguments by name; OpenAI writes the arguments out as JSON, templates want them by name."""
    if not isinstance(value, list):
        raise ValueError(f"{where}: tool_calls: expected an array, found {shown(value)}")
    calls = []
    for call in value:
        function = call.get("function", call) if isinstance(call, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or not function["name"]
        ):
            raise ValueError(f"{where}: tool_calls: expected a function with a name, found {shown(call)}")
        arguments = _from_json(f"{where}: arguments", function.get("arguments") or {})
        if not isinstance(arguments, dict):
            raise ValueError(
                f"{where}: arguments of {function['name']}: expected an object, found {shown(arguments)}"
            )
        id_ = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        calls.append(
            {**id_, "type": "function", "function": {"name": function["name"], "arguments": arguments}}
        )
    return calls


def _from_json(column: str, value: object) -> object:
    """A value, or what a text spells as JSON. Raises ValueError for a text that is none."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"{column}: not JSON: {shown(value)}") from None


def _json_only(where: str, value: JsonObject) -> JsonObject:
    """The same. Raises ValueError where it cannot be written as JSON in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{where}: holds what is no JSON") from None
    return value
