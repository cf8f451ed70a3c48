"""Reads a chat from a row, in OpenAI's form or ShareGPT's: its turns, its tools, and which turns are to be learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import UserError

Message = Mapping[str, Any]
_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "chatgpt": "assistant", "system": "system", "function_call": "assistant", "observation": "tool", "tool": "tool",
}  # fmt: skip
_UNSUPPORTED = {
    "chosen": "preference pairs", "rejected": "preference pairs", "functions": "OpenAI's older `functions`",
    "documents": "documents beside the chat", "chat_template_kwargs": "settings of its own for the template",
    "image": "an image", "images": "images", "video": "a video", "videos": "videos", "audio": "sound", "audios": "sound",
}  # fmt: skip


@dataclass(frozen=True)
class Chat:
    """One chat, ready for a chat template."""

    messages: Sequence[Message]
    """OpenAI's form; contents are text, the arguments of calls are mappings, keys without a value are gone."""
    learned: Sequence[bool]
    """For each message, whether it is an answer to learn."""
    tools: Sequence[Mapping[str, Any]] | None
    """JSON schemas of the functions on offer; None without any."""


def read_chat(row: Mapping[str, Any], where: str) -> Chat:
    """The chat of a row, under `messages` or `conversations`.

    Raises:
        UserError: the row is no chat, begins with an answer, or holds what cannot be learned from (named).
    """
    for key, kind in _UNSUPPORTED.items():
        if row.get(key):
            raise UserError(f"a row holds {kind} ({key}), which this trainer does not learn from", where=where)
    turns = row.get("messages") or row.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise UserError(
            "a row has no list of messages", where=where, fix="`format: records` reads instruction/output rows"
        )
    messages = [_message(turn, f"{where}, message {number}") for number, turn in enumerate(turns, start=1)]
    learned = [_is_learned(message, f"{where}, message {number}") for number, message in enumerate(messages, start=1)]
    for message in messages:
        message.pop("weight", None)
        message.pop("train", None)
    if isinstance(row.get("system"), str) and row["system"] and messages[0]["role"] != "system":
        messages, learned = [{"role": "system", "content": row["system"]}, *messages], [False, *learned]
    if messages[0]["role"] == "assistant":
        raise UserError("a chat begins with an assistant turn, which has no prompt", where=where)
    if not any(message["role"] == "assistant" for message in messages):
        raise UserError("a chat has no assistant turn to learn", where=where)
    return Chat(messages, learned, _tools(row.get("tools"), where))


def _message(turn: Any, where: str) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise UserError(f"a message is no object with role and content, but {turn!r:.60}", where=where)
    message = {key: value for key, value in turn.items() if value is not None}
    if "from" in message:
        message = _from_sharegpt(message, where)
    if not isinstance(message.get("role"), str):
        raise UserError("a message has no role", where=where)
    if not message.get("tool_calls"):
        message.pop("tool_calls", None)
    else:
        message["tool_calls"] = _calls(message["tool_calls"], where)
    if "function_call" in message:
        raise UserError("a message holds OpenAI's older `function_call`", where=where, fix="write it as `tool_calls`")
    message["content"] = _text(message, where)
    return message


def _from_sharegpt(turn: Mapping[str, Any], where: str) -> dict[str, Any]:
    role = _ROLES.get(str(turn["from"]))
    if role is None:
        raise UserError(f"a message is from {turn['from']!r}", where=where, fix=f"known are {', '.join(_ROLES)}")
    rest = {key: value for key, value in turn.items() if key not in ("from", "value")}
    if turn["from"] != "function_call":
        return {"role": role, "content": turn.get("value"), **rest}
    call = _parsed(turn.get("value"), "a function call", where)
    calls = [{"type": "function", "function": one} for one in (call if isinstance(call, list) else [call])]
    return {"role": role, "tool_calls": calls, **rest}


def _text(message: Mapping[str, Any], where: str) -> str:
    """The content as text; the parts of a list are joined as vLLM joins those of a request."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and "tool_calls" in message:
        return ""
    if not isinstance(content, list):
        found = "no content" if content is None else f"a content that is no text: {content!r:.60}"
        raise UserError(f"a message has {found}", where=where)
    return "\n".join(_part(part, where) for part in content)


def _part(part: Any, where: str) -> str:
    text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        raise UserError(f"a message holds a part of type {kind}; only text can be learned from", where=where)
    return text


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Tool calls whose arguments are mappings: templates write them as JSON, so a text would be quoted twice."""
    if not isinstance(calls, list):
        raise UserError(f"tool_calls is no list, but {calls!r:.60}", where=where)
    read = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UserError(f"a tool call names no function: {call!r:.80}", where=where)
        arguments = function.get("arguments") or {}
        if isinstance(arguments, str):
            arguments = _parsed(arguments, "the arguments of a tool call", where)
        if not isinstance(arguments, dict):
            raise UserError(f"the arguments of a tool call are no object: {arguments!r:.60}", where=where)
        present = {key: value for key, value in call.items() if value is not None}
        read.append({**present, "function": {**function, "arguments": arguments}})
    return read


def _tools(tools: Any, where: str) -> list[dict[str, Any]] | None:
    """Function schemas in OpenAI's form; a text holds them as JSON, and bare functions are put into an envelope."""
    if isinstance(tools, str) and tools.strip():
        tools = _parsed(tools, "tools", where)
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise UserError(f"tools are no list of function schemas: {tools!r:.60}", where=where)
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def _parsed(text: Any, what: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise UserError(f"{what} is no JSON: {text!r:.80}", where=where) from None


def _is_learned(message: Mapping[str, Any], where: str) -> bool:
    """Every assistant turn is, unless `weight: 0` (OpenAI, Mistral) or `train: false` (axolotl) says otherwise."""
    wanted = bool(message["role"] == "assistant")
    for key in ("weight", "train"):
        if key not in message:
            continue
        if message[key] not in (0, 1):  # True and False are
            raise UserError(
                f"a message has {key}: {message[key]!r}",
                where=where,
                fix="0 or false leaves a turn out, 1 or true learns it",
            )
        if message[key] and message["role"] != "assistant":
            raise UserError(f"a {message['role']} turn is marked as to be learned; only answers are", where=where)
        wanted = wanted and bool(message[key])
    return wanted
