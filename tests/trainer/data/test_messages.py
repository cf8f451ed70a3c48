"""Chats in the forms that other tools write, and what is refused of them by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.data.messages import read_chat

USER = {"role": "user", "content": "hi"}
YO = {"role": "assistant", "content": "yo"}
FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"default": None}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def contents(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in read_chat(row, "row 1").messages]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, YO]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]},
        {"conversations": [USER, YO]},
        {"messages": [{**USER, "content": [{"type": "text", "text": "hi"}]}, {**YO, "content": ["yo"]}]},
        {"messages": [{**USER, "tool_calls": None}, {**YO, "refusal": None, "tool_calls": []}]},
    ],
)
def test_the_same_chat_is_read_from_every_form(row: dict[str, Any]) -> None:
    chat = read_chat(row, "row 1")
    assert list(chat.messages) == [USER, YO]
    assert list(chat.learned) == [False, True]
    assert chat.tools is None


def test_parts_are_joined_as_vllm_joins_them() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert contents({"messages": [{"role": "user", "content": parts}, YO]})[0] == ("user", "one\ntwo")


def test_a_system_key_begins_the_chat() -> None:
    assert contents({"system": "be brief", "messages": [USER, YO]})[0] == ("system", "be brief")


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}])
def test_an_answer_marked_as_context_is_not_learned(mark: dict[str, Any]) -> None:
    chat = read_chat({"messages": [USER, {**YO, **mark}, USER, {**YO, "weight": 1, "train": True}]}, "row 1")
    assert list(chat.learned) == [False, False, False, True]
    assert set().union(*chat.messages) == {"role", "content"}


@pytest.mark.parametrize("arguments", ['{"city": "Rome"}', {"city": "Rome"}])
@pytest.mark.parametrize("content", [None, ""])
def test_a_call_without_text_is_an_answer_and_its_arguments_are_a_mapping(content: Any, arguments: Any) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    chat = read_chat({"messages": [USER, {"role": "assistant", "content": content, "tool_calls": [call]}]}, "row 1")
    assert chat.messages[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}
    assert chat.learned[1]


def test_sharegpt_calls_and_observations_become_tool_turns() -> None:
    turns = [
        {"from": "human", "value": "weather?"},
        {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"city": "Rome"}})},
        {"from": "observation", "value": '{"sky": "blue"}'},
        {"from": "gpt", "value": "blue"},
    ]
    chat = read_chat({"conversations": turns, "tools": json.dumps([FUNCTION])}, "row 1")
    assert [message["role"] for message in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[1]["tool_calls"][0]["function"]["name"] == "weather"
    assert chat.tools == [{"type": "function", "function": FUNCTION}]


@pytest.mark.parametrize(
    ("row", "message", "place"),
    [
        ({"messages": ["hi", "yo"]}, "no object with role and content, but 'hi'", "message 1"),
        ({"messages": [USER, None, YO]}, "but None", "message 2"),
        ({"messages": [USER, {"role": "assistant"}]}, "has no content", "message 2"),
        ({"messages": [{"content": "hi"}, YO]}, "has no role", "message 1"),
        ({"messages": [USER, {**YO, "content": 3}]}, "no text: 3", "message 2"),
        ({"messages": [{**USER, "content": [{"type": "image_url"}]}, YO]}, "part of type image_url", "message 1"),
        ({"messages": [USER, {**YO, "weight": 0.5}]}, "weight: 0.5", "message 2"),
        ({"messages": [USER, {**YO, "train": "no"}]}, "train: 'no'", "message 2"),
        ({"messages": [{**USER, "train": True}, YO]}, "only answers are", "message 1"),
        ({"messages": [USER, {**YO, "function_call": {}}]}, "older `function_call`", "message 2"),
        ({"messages": [USER, {**YO, "tool_calls": [{"id": "1"}]}]}, "names no function", "message 2"),
        ({"messages": [USER, {**YO, "tool_calls": "weather"}]}, "tool_calls is no list", "message 2"),
        ({"messages": [USER, YO], "tools": "weather"}, "tools is no JSON", "row 1"),
        ({"messages": [USER, YO], "functions": [FUNCTION]}, "older `functions`", "row 1"),
        ({"conversations": [{"from": "critic", "value": "x"}]}, "from 'critic'", "message 1"),
        ({"conversations": [USER], "chosen": YO, "rejected": YO}, "preference pairs", "row 1"),
        ({"messages": [USER, YO], "images": ["a.png"]}, "holds images", "row 1"),
        ({"messages": [USER, YO], "documents": [{"text": "x"}]}, "documents beside the chat", "row 1"),
        ({"text": "hi"}, "no list of messages", "row 1"),
        ({"messages": []}, "no list of messages", "row 1"),
        ({"messages": [YO, USER]}, "begins with an assistant turn", "row 1"),
        ({"messages": [USER]}, "no assistant turn", "row 1"),
    ],
)
def test_what_cannot_be_learned_from_is_named_with_its_place(row: dict[str, Any], message: str, place: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read_chat(row, "row 1")
    assert str(raised.value.where).endswith(place)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "user", "assistant", "gpt", "[{}]"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "weight", "train", "tool_calls"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=st.fixed_dictionaries({}, optional=dict.fromkeys(("messages", "conversations", "tools", "system"), JSON)))
def test_whatever_a_row_holds_it_is_a_chat_or_refused(row: dict[str, Any]) -> None:
    try:
        chat = read_chat(row, "row 1")
    except UserError:
        return
    assert len(chat.messages) == len(chat.learned)
