"""From keyword arguments to a request."""

from __future__ import annotations

import pytest

from headgate.domain.content import Text, ToolCall, ToolResult
from headgate.domain.request import Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.errors import UsageError
from headgate.library.options import Options, make_request

NAME = "openai/gpt-4o-mini"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


def test_a_prompt() -> None:
    assert make_request(NAME, "Hello", {}) == Request(model=NAME, messages=(user_message("Hello"),))


def test_everything() -> None:
    options: Options = {
        "system": "Be brief.",
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.0,
        "seed": 0,
        "stop": "END",
        "tool_choice": "get_weather",
        "schema": {"title": "walk", "type": "object"},
        "reasoning": "low",
        "user": "u1",
        "timeout": 3.0,
        "strict": True,
    }
    assert make_request(NAME, "Hello", options) == Request(
        model=NAME,
        messages=(system_message("Be brief."), user_message("Hello")),
        max_tokens=5,
        temperature=0,
        top_p=0.0,
        seed=0,
        stop=("END",),
        tool_choice=ToolChoice("tool", ("get_weather",)),
        response_format=ResponseFormat("json_schema", schema={"title": "walk", "type": "object"}, name="walk"),
        reasoning=Reasoning(effort="low"),
        user="u1",
    )


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_modes(mode: str) -> None:
    assert make_request(NAME, "x", {"tool_choice": mode}).tool_choice == ToolChoice(mode)


def test_tools_in_every_spelling() -> None:
    own = Tool("a", "first", PARAMETERS)
    tools = [own, {"name": "b", "parameters": PARAMETERS}, {"type": "function", "function": {"name": "c"}}]
    made = make_request(NAME, "x", {"tools": tools}).tools
    assert made[0] == own
    assert [tool.name for tool in made if isinstance(tool, Tool)] == ["a", "b", "c"]


def test_messages_as_values_and_as_mappings() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        user_message("one"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
    ]
    made = make_request(NAME, turns, {}).messages
    assert [message.role for message in made] == ["user", "assistant", "tool", "user"]
    assert isinstance(made[1].content[0], ToolCall)
    assert isinstance(made[2].content[0], ToolResult)
    assert made[3].content == (Text("two"),)


def test_a_request_may_be_given_whole() -> None:
    request = Request(model=NAME, messages=(user_message("x"),), temperature=1.0)
    assert make_request(request, None, {}) == request
    changed = make_request(request, None, {"temperature": 0.5, "system": "s"})
    assert (changed.temperature, changed.messages[0]) == (0.5, system_message("s"))


def test_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match="messages are missing"):
        make_request(NAME, None, {})
    with pytest.raises(UsageError, match="already"):
        make_request(Request(model=NAME, messages=()), "x", {})
    with pytest.raises(UsageError, match="role"):
        make_request(NAME, [{"role": 3, "content": "x"}], {})
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        make_request(NAME, "x", {"temprature": 1})
