"""The numbered translation cases between every two wires: what one says, rendered for the other, and read there without the dialect.

A row is a case number, an input and what must hold; it is expanded over every source that can say the input and every target it concerns.
The ids name all three: `case-25-anthropic_messages-to-openai_chat`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Cache, Media, Text, ToolCall
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.errors import ErrorKind, ProviderError
from headgate.testing import samples
from headgate.wire.json import encode


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pairing, reading, echoing = _sibling("pairing_wires"), _sibling("reading_wires"), _sibling("echoing_wires")
CHAT, RESPONSES, CLAUDE, GEMINI, OLLAMA, CONVERSE, INVOKE = ALL = pairing.ALL
ALTERNATING = pairing.ALTERNATING
BY_TOOL = pairing.BY_TOOL
CLAUDES = pairing.CLAUDES
DIALECTS = pairing.DIALECTS
FORMED = pairing.FORMED
FREE = pairing.FREE
HI = pairing.HI
OPENAI = pairing.OPENAI
PATHS = pairing.PATHS
SPEAKER = pairing.SPEAKER
THINKER = pairing.THINKER
Check = pairing.Check
Crossing = pairing.Crossing
Row = pairing.Row
Wire = pairing.Wire
ask = pairing.ask
assistant = pairing.assistant
crossings = pairing.crossings
noted = pairing.noted
refused = pairing.refused
refused_or = pairing.refused_or
replace = pairing.replace
result = pairing.result
said_by = pairing.said_by


# 1 Messages, roles, system

MERGING = ask(
    user_message("a"),
    user_message("b"),
    assistant(Text("I look."), ToolCall("c1", "get_weather", '{"city":"Oslo"}'), ToolCall("c2", "get_weather", '{"city":"Rome"}')),
    result("c2", "get_weather", Text("sun")),
    result("c1", "get_weather", Text("rain")),
    user_message("So?"),
    tools=(samples.WEATHER,),
)


def leading_system(crossing: Crossing) -> None:
    words = [piece[1] for role, content in crossing.turns if role in ("system", "developer") for piece in content]
    assert words == ["One.", "Two."]
    assert not crossing.noted("messages")


def late_system(crossing: Crossing) -> None:
    kept = [role for role, _ in crossing.turns] in (["user", "assistant", role, "user"] for role in ("system", "developer"))
    assert kept or crossing.noted("messages[2]")
    assert ("text", "Late.") in crossing.pieces("text")


def alternates(crossing: Crossing) -> None:
    roles = [role for role, _ in crossing.turns]
    assert roles == ["user", "assistant", "user"]
    assert [piece[0] for piece in crossing.turns[2][1]] == ["result", "result", "text"]
    assert [piece[1] for piece in crossing.turns[0][1]] == ["a", "b"]


def in_call_order(crossing: Crossing) -> None:
    """Every result names its call; wires with one turn for all of them have them in the order of the calls."""
    calls = [piece[1] for piece in crossing.pieces("call")]
    results = [piece[1] for piece in crossing.pieces("result")]
    assert sorted(results) == sorted(calls) and len(set(calls)) == 2
    if crossing.target in ALTERNATING:
        assert results == calls
        assert sum("result" in {piece[0] for piece in content} for _, content in crossing.turns) == 1
    said = {piece[1]: piece[2] for piece in crossing.pieces("result")}
    assert [said[call] for call in calls] in (["rain", "sun"], [{"result": "rain"}, {"result": "sun"}])


def assistant_first(crossing: Crossing) -> None:
    assert [role for role, _ in crossing.turns] == ["assistant", "user"] or crossing.noted("messages[0]")


def no_empty_text(crossing: Crossing) -> None:
    assert not [piece for piece in crossing.pieces("text") if not piece[1].strip() and crossing.target in CLAUDES]
    assert len(crossing.pieces("call")) == 1
    assert [piece[1] for piece in crossing.pieces("text") if piece[1].strip()] == ["Hi."]


def prefilled(crossing: Crossing) -> None:
    role, content = crossing.turns[-1]
    assert role == "assistant" and content[-1][1].rstrip() == "The answer is"
    assert content[-1][1] == "The answer is " or crossing.noted("messages[1]")


def same_bytes(crossing: Crossing) -> None:
    spelled = (
        {**SPELLED[crossing.source], "model": "a-model"} if crossing.source not in (GEMINI, CONVERSE, INVOKE) else SPELLED[crossing.source]
    )
    other = DIALECTS[crossing.source].parse_request(json.dumps(spelled).encode(), PATHS[crossing.source])
    assert encode(DIALECTS[crossing.target].render_request(other, ANY_MODEL).payload) == crossing.body


ODD = "a\x00\u2028\u200d 🙂"


def same_words(crossing: Crossing) -> None:
    assert crossing.pieces("text") == [("text", ODD)]
    crossing.body.decode("utf-8")


def minimal(words: Any) -> dict[str, Wire]:
    """The smallest body of each wire that says some words."""
    return {
        CHAT: {"messages": [{"role": "user", "content": words}]},
        RESPONSES: {"input": words},
        CLAUDE: {"max_tokens": 9, "messages": [{"role": "user", "content": words}]},
        GEMINI: {"contents": [{"role": "user", "parts": [{"text": words}]}]},
        OLLAMA: {"messages": [{"role": "user", "content": words}]},
        CONVERSE: {"messages": [{"role": "user", "content": [{"text": words}]}]},
        INVOKE: {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": words}]},
    }


STRINGS = {name: body for name, body in minimal("Hi.").items() if name in (CHAT, RESPONSES, CLAUDE, INVOKE)}
SPELLED: dict[str, Wire] = {
    CHAT: {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]},
    RESPONSES: {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]},
    CLAUDE: {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]},
    INVOKE: {**STRINGS[INVOKE], "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi."}]}]},
}
"""The same words as a list of one part."""

NAMED = {CHAT: {"messages": [{"role": "user", "content": "Hi.", "name": "Ann"}]}}
EMPTY_TEXT = {
    CHAT: {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi."}, {"type": "text", "text": " \n"}]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ]
    },
    RESPONSES: {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi."}, {"type": "input_text", "text": " \n"}]},
            {"role": "assistant", "content": ""},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ]
    },
    OLLAMA: {
        "messages": [
            {"role": "user", "content": "Hi."},
            {"role": "user", "content": " \n"},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
            {"role": "tool", "tool_name": "f", "content": "rain"},
        ]
    },
    GEMINI: {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi."}, {"text": " \n"}]},
            {"role": "model", "parts": [{"text": ""}, {"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "rain"}}}]},
        ]
    },
}

SECTION_1 = [
    Row(1, "leading", ask(system_message("One."), system_message("Two."), HI), leading_system),
    Row(1, "late", ask(HI, assistant(Text("Yes?")), system_message("Late."), user_message("So.")), late_system, sources=FREE),
    Row(2, "", ask(system_message("One.")), refused("messages"), sources=FREE, targets=ALTERNATING),
    Row(3, "", MERGING, alternates, targets=ALTERNATING),
    Row(4, "", ask(assistant(Text("Hello.")), user_message("Hi.")), refused_or(assistant_first)),
    Row(5, "", EMPTY_TEXT, no_empty_text),
    Row(6, "kept", ask(HI, assistant(Text("The answer is "))), prefilled, sources=(*OPENAI, GEMINI, OLLAMA)),
    Row(
        6,
        "refused",
        ask(HI, assistant(Text("The answer is"))),
        refused("messages"),
        targets=ALTERNATING,
        able=replace(ANY_MODEL, prefill=False),
    ),
    Row(7, "", NAMED, noted("messages[0].name")),
    Row(8, "", STRINGS, same_bytes),
    Row(9, "", minimal(ODD), same_words),
]

# 2 Tools: request

LONG_ID = "call|weird.id/" + "x" * 70
TWO_CALLS = ask(
    HI,
    assistant(ToolCall("call|a.b/9==", "get_weather", '{"city":"Oslo"}'), ToolCall(LONG_ID, "get_weather", '{"city":"Rome"}')),
    result("call|a.b/9==", "get_weather", Text("rain")),
    result(LONG_ID, "get_weather", Text("sun")),
    tools=(samples.WEATHER,),
)
_FITS = {CHAT: ".{1,40}", RESPONSES: ".{1,64}", CONVERSE: r"[a-zA-Z0-9_-]{1,64}", CLAUDE: r"[a-zA-Z0-9_-]+", INVOKE: r"[a-zA-Z0-9_-]+"}


def ids_fit(crossing: Crossing) -> None:
    in_call_order(crossing)
    for piece in crossing.pieces("call"):
        assert re.fullmatch(_FITS.get(crossing.target, ".{1,200}"), piece[1])
    again = DIALECTS[crossing.target].render_request(crossing.request, crossing.able)
    assert encode(again.payload) == crossing.body


LOOP = ask(
    HI,
    assistant(ToolCall("c1", "get_weather", '{"city":"Oslo"}')),
    result("c1", "get_weather", Text("rain, 7 °C")),
    assistant(Text("Rain.")),
    user_message("Thanks."),
    tools=(samples.WEATHER,),
)


def without_turn(*places: int) -> dict[str, Wire]:
    """The tool loop on every wire with turns missing. Its turns are user, call, result, assistant, user on all of them."""
    bodies: dict[str, Wire] = {}
    for name, dialect in DIALECTS.items():
        body: Wire = json.loads(encode(dialect.render_request(LOOP, SPEAKER).payload))
        turns = body[echoing.TURNS[name]]
        assert len(turns) == 5
        bodies[name] = {**body, echoing.TURNS[name]: [turn for place, turn in enumerate(turns) if place not in places]}
    return bodies


def with_result(*blocks: Block, error: bool | None = None) -> Request:
    return ask(HI, assistant(samples.CALL), result("call_1", "get_weather", *blocks, error=error), tools=(samples.WEATHER,))


def plain_result(crossing: Crossing) -> None:
    """Text arrives as text; Google's wire wants an object, so it is wrapped."""
    ((_, _, said),) = crossing.pieces("result")
    assert said == ({"result": "not { json"} if crossing.target == GEMINI else "not { json")


def picture_in_result(crossing: Crossing) -> None:
    """The picture stays in the result where that can hold one, else it follows in a user turn and a note says so."""
    assert samples.PIXEL in crossing.body.decode()
    if crossing.target in CLAUDES:
        assert not crossing.pieces("image"), "inside the result"
    elif crossing.pieces("image"):
        assert crossing.noted("content")


_MARKS = {CLAUDE: '"is_error":true', INVOKE: '"is_error":true', CONVERSE: '"status":"error"', GEMINI: '"error":'}


def error_mark(crossing: Crossing) -> None:
    mark = _MARKS.get(crossing.target)
    assert mark in crossing.body.decode() if mark else crossing.noted("is_error")


BROKEN = {
    CHAT: {
        "messages": [
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ]
    },
    RESPONSES: {
        "input": [
            {"role": "user", "content": "Hi."},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":'},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ]
    },
}
SAYING_NOTHING = json.loads(json.dumps(BROKEN).replace('{\\"a\\":', ""))


def empty_arguments(crossing: Crossing) -> None:
    assert [piece[3] for piece in crossing.pieces("call")] == [{}]


def schemas(target: str, wire: Wire) -> list[Any]:
    """The parameter schemas of the functions on a wire."""
    if target == GEMINI:
        found = [tool for entry in wire["tools"] for tool in entry["functionDeclarations"]]
        return [tool.get("parametersJsonSchema", tool.get("parameters")) for tool in found]
    if target == CONVERSE:
        return [tool["toolSpec"]["inputSchema"]["json"] for tool in wire["toolConfig"]["tools"]]
    key = "input_schema" if target in CLAUDES else "parameters"
    return [tool.get("function", tool)[key] for tool in wire["tools"]]


def empty_schema(crossing: Crossing) -> None:
    """Google's wire takes a function without parameters, Claude's an object that names none; the others want it said."""
    found = schemas(crossing.target, crossing.wire)
    bare = {GEMINI: [None, {"type": "object"}], OLLAMA: [{"type": "object"}]}.get(crossing.target, [])
    bare += [{"type": "object"}] if crossing.target in CLAUDES else []
    assert found[0] in [{"type": "object", "properties": {}}, *bare]


BARE_TOOLS: dict[str, Wire] = {
    name: {**minimal("Hi.")[name], **tools}
    for name, tools in {
        CHAT: {"tools": [{"type": "function", "function": {"name": "f", "description": ""}}]},
        RESPONSES: {"tools": [{"type": "function", "name": "f", "parameters": None}]},
        CLAUDE: {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
        GEMINI: {"tools": [{"functionDeclarations": [{"name": "f"}]}]},
        OLLAMA: {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    }.items()
}


def no_description(crossing: Crossing) -> None:
    assert '"description":""' not in crossing.body.decode() or crossing.target == GEMINI


ODD_NAMES = {
    CHAT: {**minimal("Hi.")[CHAT], "tools": [{"type": "function", "function": {"name": "a b/c", "parameters": {}}}]},
    OLLAMA: {**minimal("Hi.")[OLLAMA], "tools": [{"type": "function", "function": {"name": "a b/c", "parameters": {}}}]},
    RESPONSES: {**minimal("Hi.")[RESPONSES], "tools": [{"type": "function", "name": "a b/c", "parameters": {}}]},
    GEMINI: {**minimal("Hi.")[GEMINI], "tools": [{"functionDeclarations": [{"name": "a b/c"}]}]},
    CLAUDE: {**minimal("Hi.")[CLAUDE], "tools": [{"name": "a b/c", "input_schema": {"type": "object"}}]},
}


def chooses(mode: str) -> Check:
    """The choice is on the wire in its own words, or a note says that it is not."""

    def check(crossing: Crossing) -> None:
        choice, word = crossing.back.tool_choice, _CHOICES[mode].get(crossing.target)
        if word is None:
            assert crossing.noted("tool"), crossing.notes
        else:
            assert word in crossing.body.decode()
            assert mode in ("auto", "allowed") or (choice is not None and choice.mode in (mode, "tool"))

    return check


_CHOICES: dict[str, dict[str, str]] = {
    "auto": dict.fromkeys(ALL, ""),
    "none": {
        CHAT: '"tool_choice":"none"',
        RESPONSES: '"tool_choice":"none"',
        CLAUDE: '"tool_choice":{"type":"none"',
        INVOKE: '"tool_choice":{"type":"none"',
        GEMINI: '"mode":"NONE"',
    },
    "required": {
        CHAT: '"tool_choice":"required"',
        RESPONSES: '"tool_choice":"required"',
        CLAUDE: '"tool_choice":{"type":"any"',
        INVOKE: '"tool_choice":{"type":"any"',
        CONVERSE: '"toolChoice":{"any":{}}',
        GEMINI: '"mode":"ANY"',
    },
    "tool": {
        CHAT: '"tool_choice":{"type":"function","function":{"name":"get_time"}}',
        RESPONSES: '"tool_choice":{"type":"function","name":"get_time"}',
        CLAUDE: '"tool_choice":{"type":"tool","name":"get_time"',
        INVOKE: '"tool_choice":{"type":"tool","name":"get_time"',
        CONVERSE: '"toolChoice":{"tool":{"name":"get_time"}}',
        GEMINI: '"allowedFunctionNames":["get_time"]',
    },
    "allowed": {CHAT: '"allowed_tools"', RESPONSES: '"allowed_tools"', GEMINI: '"allowedFunctionNames":["get_time","get_day"]'},
}
"""How each wire says a choice; a wire that is not named cannot."""


def choosing(mode: Any, **more: Any) -> Request:
    names = {"tool": ("get_time",), "allowed": ("get_time", "get_day")}.get(mode, ())
    return ask(HI, tools=(samples.WEATHER, samples.CLOCK, Tool("get_day")), tool_choice=ToolChoice(mode, names, mode == "allowed"), **more)


SAYS_NONE = tuple(name for name in ALL if name in _CHOICES["none"])
SAYS_REQUIRED = tuple(name for name in ALL if name in _CHOICES["required"])


def one_at_a_time(crossing: Crossing) -> None:
    words = {CHAT: '"parallel_tool_calls":false', RESPONSES: '"parallel_tool_calls":false'}
    word = words.get(crossing.target, '"disable_parallel_tool_use":true')
    assert word in crossing.body.decode() or (crossing.target not in (*OPENAI, CLAUDE, INVOKE) and crossing.noted("parallel"))
    if crossing.target in (CLAUDE, INVOKE):
        assert crossing.wire["tool_choice"]["type"] == "auto"


def forced_or_thinking(crossing: Crossing) -> None:
    body = crossing.body.decode()
    assert '"thinking":{"type":"enabled"' not in body or crossing.noted("tool_choice")
    assert crossing.noted("reasoning") or crossing.noted("tool_choice")


HOSTED: dict[str, list[Wire]] = {
    RESPONSES: [{"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "mcp", "server_label": "a"}],
    CLAUDE: [{"type": "web_search_20250305", "name": "web_search"}, {"type": "code_execution_20250522", "name": "code_execution"}],
    GEMINI: [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}],
}
HOSTED_ROWS = [
    (tool.get("type") or next(iter(tool)), {name: {**minimal("Hi.")[name], "tools": [tool]}})
    for name, tools in HOSTED.items()
    for tool in tools
]


def served_there(crossing: Crossing) -> None:
    """A tool run by the provider has an equal one of the target's own, or the request was refused."""
    body = crossing.body.decode()
    assert any(word in body.lower() for word in ("search", "code", "web_fetch"))


STRICT = ask(HI, tools=(replace(samples.WEATHER, strict=True),))


def strict_or_noted(crossing: Crossing) -> None:
    assert '"strict":true' in crossing.body.decode() or crossing.noted("strict")


SECTION_2 = [
    Row(10, "", MERGING, in_call_order),
    Row(11, "missing", without_turn(2), refused("messages", "input", "contents")),
    Row(11, "orphan", without_turn(1), refused("messages", "input", "contents")),
    Row(12, "", TWO_CALLS, ids_fit),
    Row(13, "text", with_result(Text("not { json")), plain_result),
    Row(13, "picture", with_result(Text("see"), samples.PICTURE.messages[0].content[1]), picture_in_result, sources=(RESPONSES, *CLAUDES)),
    Row(14, "", with_result(Text("boom"), error=True), error_mark, sources=(*CLAUDES, GEMINI)),
    Row(15, "invalid", BROKEN, refused("messages[1]", "input"), targets=(*CLAUDES, GEMINI, OLLAMA)),
    Row(15, "empty", SAYING_NOTHING, empty_arguments),
    Row(16, "", BARE_TOOLS, empty_schema),
    Row(17, "description", {CHAT: BARE_TOOLS[CHAT]}, no_description),
    Row(17, "name", ODD_NAMES, refused("tools"), targets=(*OPENAI, *CLAUDES, GEMINI)),
    *(Row(18, mode, choosing(mode), chooses(mode), sources=SAYS_REQUIRED) for mode in ("required", "tool")),
    Row(18, "auto", choosing("auto"), chooses("auto")),
    Row(18, "none", choosing("none"), chooses("none"), sources=SAYS_NONE),
    Row(18, "allowed", choosing("allowed"), chooses("allowed"), sources=(*OPENAI, GEMINI)),
    Row(19, "", ask(HI, tools=(samples.WEATHER,), parallel_tools=False), one_at_a_time, sources=(*OPENAI, CLAUDE, INVOKE)),
    Row(
        20,
        "",
        choosing("required", reasoning=Reasoning(effort="high")),
        refused_or(forced_or_thinking),
        sources=OPENAI,
        targets=CLAUDES,
        able=THINKER,
    ),
    *(Row(21, label, bodies, refused_or(served_there)) for label, bodies in HOSTED_ROWS),
    Row(22, "", STRICT, strict_or_noted, sources=(*OPENAI, CLAUDE, INVOKE)),
]


# 5 Sampling and limits

_CONFIG = ("generationConfig",)
_INFERENCE = ("inferenceConfig",)
_OPTIONS = ("options",)
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "max_tokens": {
        CHAT: ("max_completion_tokens",),
        RESPONSES: ("max_output_tokens",),
        CLAUDE: ("max_tokens",),
        INVOKE: ("max_tokens",),
        GEMINI: (*_CONFIG, "maxOutputTokens"),
        OLLAMA: (*_OPTIONS, "num_predict"),
        CONVERSE: (*_INFERENCE, "maxTokens"),
    },
    "temperature": {
        **dict.fromkeys((CHAT, RESPONSES, CLAUDE, INVOKE), ("temperature",)),
        GEMINI: (*_CONFIG, "temperature"),
        OLLAMA: (*_OPTIONS, "temperature"),
        CONVERSE: (*_INFERENCE, "temperature"),
    },
    "top_p": {
        **dict.fromkeys((CHAT, RESPONSES, CLAUDE, INVOKE), ("top_p",)),
        GEMINI: (*_CONFIG, "topP"),
        OLLAMA: (*_OPTIONS, "top_p"),
        CONVERSE: (*_INFERENCE, "topP"),
    },
    "top_k": {CHAT: ("top_k",), CLAUDE: ("top_k",), INVOKE: ("top_k",), GEMINI: (*_CONFIG, "topK"), OLLAMA: (*_OPTIONS, "top_k")},
    "seed": {CHAT: ("seed",), GEMINI: (*_CONFIG, "seed"), OLLAMA: (*_OPTIONS, "seed")},
    "presence_penalty": {CHAT: ("presence_penalty",), GEMINI: (*_CONFIG, "presencePenalty"), OLLAMA: (*_OPTIONS, "presence_penalty")},
    "frequency_penalty": {CHAT: ("frequency_penalty",), GEMINI: (*_CONFIG, "frequencyPenalty"), OLLAMA: (*_OPTIONS, "frequency_penalty")},
    "logit_bias": {CHAT: ("logit_bias",)},
    "stop": {
        CHAT: ("stop",),
        CLAUDE: ("stop_sequences",),
        INVOKE: ("stop_sequences",),
        GEMINI: (*_CONFIG, "stopSequences"),
        OLLAMA: (*_OPTIONS, "stop"),
        CONVERSE: (*_INFERENCE, "stopSequences"),
    },
    "n": {CHAT: ("n",), GEMINI: (*_CONFIG, "candidateCount")},
    "user": {CHAT: ("user",), RESPONSES: ("user",), CLAUDE: ("metadata", "user_id"), INVOKE: ("metadata", "user_id")},
    "metadata": {CHAT: ("metadata",), RESPONSES: ("metadata",), CONVERSE: ("requestMetadata",)},
    "logprobs": {CHAT: ("logprobs",), GEMINI: (*_CONFIG, "responseLogprobs"), OLLAMA: ("logprobs",)},
    "top_logprobs": {CHAT: ("top_logprobs",), RESPONSES: ("top_logprobs",), GEMINI: (*_CONFIG, "logprobs"), OLLAMA: ("top_logprobs",)},
}
"""Where a wire says a setting; a wire that is not named cannot."""


def setting(name: str, crossing: Crossing) -> Any:
    """The value of a setting on the target's wire; None when it is not there."""
    value: Any = crossing.wire
    for key in SETTINGS[name].get(crossing.target, ("nowhere",)):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def sends(name: str, value: Any) -> Check:
    """The value is on the wire exactly so, or a note names the setting where the wire has no place for it."""

    def check(crossing: Crossing) -> None:
        found = setting(name, crossing)
        assert (found == value and crossing.target in SETTINGS[name]) or crossing.noted(name), (found, crossing.notes)
        assert found in (None, value)

    return check


def changes(name: str, value: Any) -> Check:
    """The value is on the wire instead of what was asked for, and a note says so."""

    def check(crossing: Crossing) -> None:
        assert setting(name, crossing) == value
        assert crossing.noted(name), crossing.notes

    return check


def saying(name: str) -> tuple[str, ...]:
    """The wires that can say a setting."""
    return tuple(wire for wire in ALL if wire in SETTINGS[name])


def limit_chosen(crossing: Crossing) -> None:
    assert setting("max_tokens", crossing) == 7
    assert crossing.noted("max_tokens")


def default_limit(crossing: Crossing) -> None:
    """Claude's wire demands a number: the model's most, and a note. No other wire is given one."""
    found = setting("max_tokens", crossing)
    if crossing.target in (CLAUDE, INVOKE):
        assert found == 64000 and crossing.noted("max_tokens")
    else:
        assert found is None and not crossing.noted("max_tokens")


def older_limit(crossing: Crossing) -> None:
    assert crossing.wire["max_tokens"] == 6000 and "max_completion_tokens" not in crossing.wire


def budget_fits(crossing: Crossing) -> None:
    wire = crossing.wire.get("additionalModelRequestFields", crossing.wire)
    assert 1024 <= wire["thinking"]["budget_tokens"] < 6000 == setting("max_tokens", crossing)
    assert crossing.noted("reasoning")


def zeros_arrive(crossing: Crossing) -> None:
    assert setting("temperature", crossing) == 0 and setting("top_p", crossing) == 0


def one_of_two(crossing: Crossing) -> None:
    given = [name for name in ("temperature", "top_p") if setting(name, crossing) is not None]
    (left,) = {"temperature", "top_p"} - set(given)
    assert crossing.noted(left)


def no_sampling(crossing: Crossing) -> None:
    assert setting("temperature", crossing) is None and setting("top_p", crossing) is None
    assert crossing.noted("temperature") and crossing.noted("top_p")


def stops_cut_in_the_open(crossing: Crossing) -> None:
    found = setting("stop", crossing) or []
    assert len(found) == 4 or not found
    assert crossing.noted("stop")


def no_blank_stop(crossing: Crossing) -> None:
    assert setting("stop", crossing) == ["END"] and crossing.noted("stop")


def tier_or_note(crossing: Crossing) -> None:
    assert '"priority"' in crossing.body.decode() or crossing.noted("service_tier")


def only_at_home(crossing: Crossing) -> None:
    assert "x_novelty" not in crossing.body.decode()
    assert crossing.noted("x_novelty"), crossing.notes


ZEROS = ask(HI, temperature=0.0, top_p=0.0)
LIMITS = {CHAT: {**minimal("Hi.")[CHAT], "max_tokens": 5, "max_completion_tokens": 7}}
NOVEL = {name: {**body, "x_novelty": {"a": 1}} for name, body in minimal("Hi.").items()}
SCALARS: list[tuple[int, str, Any]] = [
    (33, "seed", 0),
    (37, "seed", 7),
    (37, "top_k", 5),
    (37, "presence_penalty", 0.5),
    (37, "frequency_penalty", -0.5),
    (37, "logit_bias", {"5": 1}),
    (38, "top_logprobs", 2),
    (39, "user", "user-1"),
    (39, "metadata", {"team": "blue"}),
]
UNABLE: list[tuple[str, Any, str]] = [
    ("seed", 7, "seed"),
    ("presence_penalty", 0.5, "penalties"),
    ("frequency_penalty", 0.5, "penalties"),
    ("logprobs", True, "logprobs"),
]
"""A setting, a value, and the ability of a model without which it is not sent."""


def left_out(name: str) -> Check:
    def check(crossing: Crossing) -> None:
        assert setting(name, crossing) is None and crossing.noted(name)

    return check


SECTION_5 = [
    Row(30, "both", LIMITS, limit_chosen),
    Row(30, "older", ask(HI), older_limit, targets=(CHAT,), able=replace(ANY_MODEL, max_tokens_field="max_tokens")),
    Row(30, "newer", ask(HI), sends("max_tokens", 6000)),
    Row(
        31,
        "",
        ask(HI, max_tokens=None),
        default_limit,
        sources=(*OPENAI, GEMINI, OLLAMA, CONVERSE),
        able=replace(ANY_MODEL, max_output=64000),
    ),
    Row(
        32,
        "",
        {
            CLAUDE: {**minimal("Hi.")[CLAUDE], "max_tokens": 6000, "thinking": {"type": "enabled", "budget_tokens": 5999}},
            GEMINI: {**minimal("Hi.")[GEMINI], "generationConfig": {"maxOutputTokens": 6000, "thinkingConfig": {"thinkingBudget": 9000}}},
            CHAT: {**minimal("Hi.")[CHAT], "max_tokens": 6000, "reasoning_effort": "high"},
            RESPONSES: {**minimal("Hi.")[RESPONSES], "max_output_tokens": 6000, "reasoning": {"effort": "high"}},
            OLLAMA: {**minimal("Hi.")[OLLAMA], "options": {"num_predict": 6000}, "think": "high"},
        },
        budget_fits,
        targets=CLAUDES,
        able=THINKER,
    ),
    Row(33, "", ZEROS, zeros_arrive),
    *(
        Row(
            case,
            name,
            ask(HI, **{name: value, **({"logprobs": True} if name == "top_logprobs" else {})}),
            sends(name, value),
            sources=saying(name),
        )
        for case, name, value in SCALARS
    ),
    *(
        Row(
            37,
            f"unable-{name}",
            ask(HI, **{name: value}),
            left_out(name),
            sources=saying(name),
            targets=saying(name),
            able=replace(ANY_MODEL, **{ability: False}),
        )
        for name, value, ability in UNABLE
    ),
    Row(34, "clamped", ask(HI, temperature=1.75), changes("temperature", 1.0), sources=(*OPENAI, GEMINI, OLLAMA), targets=CLAUDES),
    Row(
        34,
        "model",
        ask(HI, temperature=0.9),
        changes("temperature", 0.5),
        able=replace(ANY_MODEL, temperature_max=0.5),
    ),
    Row(34, "either", ask(HI, temperature=0.5, top_p=0.5), one_of_two, able=replace(ANY_MODEL, temperature_and_top_p=False)),
    Row(34, "none", ask(HI, temperature=0.5, top_p=0.5), no_sampling, able=replace(ANY_MODEL, sampling=False)),
    Row(
        35,
        "many",
        ask(HI, stop=tuple("ABCDEF")),
        refused_or(stops_cut_in_the_open),
        sources=saying("stop"),
        able=replace(ANY_MODEL, stop_max=4),
    ),
    Row(35, "kept", ask(HI, stop=("A", "B")), sends("stop", ["A", "B"]), sources=saying("stop")),
    Row(35, "blank", ask(HI, stop=("END", " \n")), no_blank_stop, sources=(CHAT, GEMINI, OLLAMA), targets=CLAUDES),
    Row(36, "sent", ask(HI, n=2), sends("n", 2), sources=saying("n"), targets=saying("n")),
    Row(36, "refused", ask(HI, n=2), refused("n", "candidateCount"), sources=saying("n"), targets=(RESPONSES, OLLAMA, *CLAUDES)),
    Row(36, "unable", ask(HI, n=2), refused("n"), sources=saying("n"), able=replace(ANY_MODEL, choices=False)),
    Row(39, "tier", ask(HI, service_tier="priority"), tier_or_note, sources=(*OPENAI, CONVERSE)),
    Row(40, "", NOVEL, only_at_home),
]

# 6 Media

_PNG = samples.PIXEL
URLS = {
    "plain": f"data:image/png;base64,{_PNG}",
    "capitals": f"DATA:IMAGE/PNG;BASE64,{_PNG}",
    "parameters": f"data:image/png;charset=binary;base64,{_PNG}",
    "jpg": f"data:image/jpg;base64,{_PNG}",
}


def pictured(url: str) -> dict[str, Wire]:
    """A request with a picture by URL, on the wires that take one."""
    return {
        CHAT: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]},
        RESPONSES: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]},
    }


def picture_arrives(mime: str) -> Check:
    def check(crossing: Crossing) -> None:
        body = crossing.body.decode()
        assert _PNG in body
        ((_, data),) = crossing.pieces("image")
        assert data == _PNG or (crossing.target in OPENAI and data.partition(",")[2] == _PNG)
        if crossing.target == CONVERSE:
            assert f'"format":"{mime.removeprefix("image/")}"' in body
        elif crossing.target in (CLAUDE, INVOKE, GEMINI):
            assert f'"{mime}"' in body

    return check


def fetched_there(crossing: Crossing) -> None:
    """The address goes along where the provider fetches it itself; a wire that does not was refused before."""
    assert "https://example.com/a.png" in crossing.body.decode()
    assert crossing.target in (*OPENAI, CLAUDE, INVOKE, GEMINI)


DETAILED = {
    CHAT: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URLS["plain"], "detail": "low"}}]}]},
    RESPONSES: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URLS["plain"], "detail": "low"}]}]},
}


def detail_kept(crossing: Crossing) -> None:
    assert '"detail":"low"' in crossing.body.decode() if crossing.target in OPENAI else crossing.noted("detail")


PDF = "JVBERi0xLjcK"
DOCUMENT = ask(Message("user", (Text("Read."), Media("document", "application/pdf", PDF, name="report"))))
BY_ID = {
    CHAT: {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    RESPONSES: {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
    CLAUDE: {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}],
    },
    GEMINI: {
        "contents": [{"role": "user", "parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]
    },
}
SOUND = ask(Message("user", (Text("Hear."), Media("audio", "audio/wav", "UklGRg=="))))


def data_arrives(data: str) -> Check:
    def check(crossing: Crossing) -> None:
        assert data in crossing.body.decode()

    return check


SECTION_6 = [
    *(Row(41, label, pictured(url), picture_arrives("image/jpeg" if label == "jpg" else "image/png")) for label, url in URLS.items()),
    Row(41, "inline", samples.PICTURE, picture_arrives("image/png")),
    Row(42, "", pictured("https://example.com/a.png"), refused_or(fetched_there)),
    Row(43, "", DETAILED, detail_kept),
    Row(44, "data", DOCUMENT, data_arrives(PDF), sources=(*OPENAI, *CLAUDES, GEMINI), targets=(*OPENAI, *CLAUDES, GEMINI)),
    Row(44, "file-id", BY_ID, refused("messages", "input", "contents")),
    Row(45, "", SOUND, data_arrives("UklGRg=="), sources=(CHAT, GEMINI), targets=(CHAT, GEMINI), able=replace(ANY_MODEL, audio=True)),
    Row(45, "refused", SOUND, refused("messages"), sources=(CHAT, GEMINI), targets=(CLAUDE, INVOKE, OLLAMA)),
    Row(45, "unable", SOUND, refused("messages"), sources=(CHAT, GEMINI), targets=(*OPENAI, CONVERSE)),
    Row(46, "blind", samples.PICTURE, refused("messages"), able=replace(ANY_MODEL, vision=False)),
]

# 9 Reasoning: how much

WISHES: dict[str, dict[str, Wire]] = {
    effort: {
        CHAT: {**minimal("Hi.")[CHAT], "max_tokens": 60000, "reasoning_effort": effort},
        RESPONSES: {**minimal("Hi.")[RESPONSES], "max_output_tokens": 60000, "reasoning": {"effort": effort}},
    }
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh")
}
BUDGETED: dict[str, Wire] = {
    CLAUDE: {**minimal("Hi.")[CLAUDE], "max_tokens": 60000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
    GEMINI: {**minimal("Hi.")[GEMINI], "generationConfig": {"maxOutputTokens": 60000, "thinkingConfig": {"thinkingBudget": 4000}}},
}
CONTROLS = ("effort", "budget", "adaptive", "level")


def thinks(crossing: Crossing) -> None:
    """The wish is on the wire, in whatever words it has for this model, or a note tells."""
    wish = crossing.back.reasoning
    assert (wish is not None and wish != Reasoning()) or crossing.noted("reasoning"), crossing.wire


def thinks_not(crossing: Crossing) -> None:
    """No thought is asked for: nothing is said, or an explicit no."""
    wish = crossing.back.reasoning
    assert (
        wish is None
        or (wish.effort in (None, "none", "minimal") and not wish.budget and wish.mode in (None, "disabled"))
        or crossing.noted("reasoning")
    )


def always_thinks(crossing: Crossing) -> None:
    assert crossing.noted("reasoning")


ENCRYPTED = {
    RESPONSES: {
        "input": [
            {"role": "user", "content": "Hi."},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "So."},
        ]
    }
}


def left_at_home(crossing: Crossing) -> None:
    assert "c2VjcmV0" not in crossing.body.decode()
    assert crossing.noted("messages[1]") or crossing.noted("input[1]") or crossing.noted("thinking"), crossing.notes
    assert [role for role, _ in crossing.turns] == ["user", "assistant", "user"]


SECTION_9 = [
    *(
        Row(76, f"{effort}-by-{control}", bodies, thinks_not if effort == "none" else thinks, able=replace(ANY_MODEL, reasoning=control))
        for effort, bodies in WISHES.items()
        for control in CONTROLS
    ),
    *(Row(76, f"budget-by-{control}", BUDGETED, thinks, able=replace(ANY_MODEL, reasoning=control)) for control in CONTROLS),
    Row(76, "without", WISHES["high"], noted("reasoning")),
    Row(
        76,
        "always",
        WISHES["none"],
        always_thinks,
        targets=(*CLAUDES, GEMINI),
        able=replace(THINKER, reasoning_required=True),
    ),
    Row(75, "encrypted", ENCRYPTED, left_at_home),
    Row(75, "kept", {RESPONSES: {**minimal("Hi.")[RESPONSES], "previous_response_id": "resp_1"}}, refused("previous_response_id")),
]

# 10 Structured output

FORMED_WITH_TOOLS = replace(FORMED, tools=(samples.WEATHER,))
SAYS_JSON = (CHAT, RESPONSES, GEMINI, OLLAMA)
"""Wires with a mode for any JSON."""


def form_of(target: str, wire: Wire) -> Any:
    """The schema of the answer on a wire."""
    if target == CONVERSE:
        return json.loads(wire["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    found: dict[str, Callable[[], Any]] = {
        CHAT: lambda: wire["response_format"]["json_schema"]["schema"],
        RESPONSES: lambda: wire["text"]["format"]["schema"],
        GEMINI: lambda: wire["generationConfig"]["responseJsonSchema"],
        OLLAMA: lambda: wire["format"],
    }
    return found.get(target, lambda: wire["output_config"]["format"]["schema"])()


def native_form(crossing: Crossing) -> None:
    assert form_of(crossing.target, crossing.wire) == samples.SCHEMA
    assert not crossing.noted("response_format.schema")


def form_and_tools(crossing: Crossing) -> None:
    native_form(crossing)
    assert len(schemas(crossing.target, crossing.wire)) == 1
    assert '"tool_choice"' not in crossing.body.decode() and '"toolChoice"' not in crossing.body.decode()


def forced_form(crossing: Crossing) -> None:
    assert schemas(crossing.target, crossing.wire) == [samples.SCHEMA]
    assert crossing.noted("response_format")


RICH: Wire = {
    "type": "object",
    "title": "Order",
    "properties": {
        "z": {"$ref": "#/$defs/size"},
        "a": {"type": ["string", "null"], "default": "x"},
        "n": {"type": "number", "exclusiveMinimum": 0},
        "k": {"const": "order"},
        "l": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "integer", "enum": [1, 2]}}}},
    },
    "required": ["z", "a", "n", "k", "l"],
    "additionalProperties": False,
    "$defs": {"size": {"type": "string", "enum": ["s", "m"]}},
}
RICH_ASKED = ask(HI, response_format=ResponseFormat("json_schema", RICH, "order", strict=False))
RECURSIVE: Wire = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"], "additionalProperties": False}


def in_the_subset(crossing: Crossing) -> None:
    """Whatever the subset cannot say is listed; nothing below the first level is lost."""
    config = crossing.wire["generationConfig"]
    found = config["responseSchema"]
    assert "responseJsonSchema" not in config
    assert "$ref" not in json.dumps(found) and "$defs" not in found and "additionalProperties" not in found
    assert found["properties"]["z"]["enum"] == ["s", "m"]
    assert found["properties"]["a"]["nullable"] is True and found["properties"]["a"]["type"].lower() == "string"
    assert found["properties"]["k"]["enum"] == ["order"]
    assert found["properties"]["l"]["items"]["properties"]["deep"]["type"].lower() in ("string", "integer")
    assert list(found["properties"]) == ["z", "a", "n", "k", "l"]
    assert crossing.noted("exclusiveMinimum") and crossing.noted("additionalProperties"), crossing.notes


def whole_schema(crossing: Crossing) -> None:
    assert form_of(crossing.target, crossing.wire) == RICH
    assert list(form_of(crossing.target, crossing.wire)["properties"]) == ["z", "a", "n", "k", "l"]


LAX: Wire = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}


def lax_stays(crossing: Crossing) -> None:
    assert form_of(crossing.target, crossing.wire) == LAX
    if crossing.target in OPENAI:
        assert '"strict":true' not in crossing.body.decode()


def any_json(crossing: Crossing) -> None:
    """The mode is on the wire or a note names it; not a word is added to the prompt."""
    marks = {CHAT: '"type":"json_object"', RESPONSES: '"type":"json_object"', GEMINI: '"application/json"', OLLAMA: '"format":"json"'}
    mark = marks.get(crossing.target)
    assert mark in crossing.body.decode() if mark else crossing.noted("response_format")
    assert [piece[1] for piece in crossing.pieces("text")] == ["Hi."]


SAYS_SCHEMA = ALL
SECTION_10 = [
    Row(78, "native", FORMED, native_form),
    Row(78, "forced", FORMED, forced_form, targets=CLAUDES, able=BY_TOOL),
    Row(79, "native", FORMED_WITH_TOOLS, form_and_tools),
    Row(79, "forced", FORMED_WITH_TOOLS, refused("response_format"), targets=CLAUDES, able=BY_TOOL),
    Row(80, "subset", RICH_ASKED, in_the_subset, targets=(GEMINI,), able=replace(ANY_MODEL, json_schema_field=False)),
    Row(80, "whole", RICH_ASKED, whole_schema, targets=(*OPENAI, GEMINI, OLLAMA)),
    Row(
        80,
        "recursive",
        ask(HI, response_format=ResponseFormat("json_schema", RECURSIVE, "node")),
        refused("response_format"),
        targets=(GEMINI,),
        able=replace(ANY_MODEL, json_schema_field=False),
    ),
    Row(81, "", ask(HI, response_format=ResponseFormat("json_schema", LAX, "pair")), lax_stays, targets=(*OPENAI, GEMINI, OLLAMA)),
    Row(82, "", ask(HI, response_format=ResponseFormat("json_object")), any_json, sources=SAYS_JSON),
]

# 13 Caching, models

CACHED = ask(
    Message("system", (Text("Long.", Cache("1h")), Text("Short.", Cache()))),
    Message("user", (Text("Hi.", Cache("5m")),)),
    tools=(replace(samples.WEATHER, cache=Cache("1h")),),
)


def breakpoints(crossing: Crossing) -> None:
    """Four breakpoints with their lifetimes on Claude's wires; a note where prompts are cached without."""
    body = crossing.body.decode()
    if crossing.target not in CLAUDES:
        assert crossing.noted("cache"), crossing.notes
        return
    if crossing.target == CONVERSE:
        assert body.count('"cachePoint"') == 4 and body.count('"ttl":"1h"') == 2
        assert [next(iter(part)) for part in crossing.wire["system"]] == ["text", "cachePoint", "text", "cachePoint"]
        assert crossing.wire["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    else:
        assert body.count('"cache_control"') == 4 and body.count('"ttl":"1h"') == 2
        assert crossing.wire["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
        assert crossing.wire["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


_SIX = [{"type": "text", "text": f"Part {number}.", "cache_control": {"type": "ephemeral"}} for number in range(6)]
_SIX_POINTS = [part for number in range(6) for part in ({"text": f"Part {number}."}, {"cachePoint": {"type": "default"}})]
TOO_MANY = {
    CLAUDE: {"max_tokens": 9, "messages": [{"role": "user", "content": _SIX}]},
    INVOKE: {**STRINGS[INVOKE], "messages": [{"role": "user", "content": _SIX}]},
    CONVERSE: {"messages": [{"role": "user", "content": _SIX_POINTS}]},
}


def four_at_most(crossing: Crossing) -> None:
    body = crossing.body.decode()
    assert body.count('"cachePoint"') + body.count('"cache_control"') <= 4
    assert crossing.noted("cache"), crossing.notes


def ordered_tools(crossing: Crossing) -> None:
    """Tools and keys of schemas keep their order, so that cached prefixes stay the same bytes."""
    body = crossing.body.decode()
    assert body.index("zebra") < body.index("aardvark")
    assert body.index('"zz"') < body.index('"aa"')


def model_named(name: str) -> Check:
    def check(crossing: Crossing) -> None:
        assert crossing.back.model == name
        assert crossing.target in (GEMINI, CONVERSE, INVOKE) or crossing.wire["model"] == name

    return check


def never_shortened(crossing: Crossing) -> None:
    """Ollama is told not to cut the prompt, and takes tools and pictures together."""
    assert (crossing.wire["truncate"], crossing.wire["shift"]) == (False, False)
    assert crossing.wire["options"]["num_predict"] == 6000
    assert schemas(OLLAMA, crossing.wire) and crossing.pieces("image") == [("image", _PNG)]


def too_long(crossing: Crossing) -> None:
    with pytest.raises(ProviderError) as caught:
        _ = crossing.rendered
    assert caught.value.kind is ErrorKind.CONTEXT_LENGTH and "4096" in caught.value.message


def google_roles(crossing: Crossing) -> None:
    contents = crossing.wire["contents"]
    assert [turn["role"] for turn in contents] == ["user", "model", "user"]
    assert "safetySettings" not in crossing.wire
    answers = [part["functionResponse"] for part in contents[2]["parts"] if "functionResponse" in part]
    assert [(answer["name"], answer["response"]) for answer in answers] == [
        ("get_weather", {"result": "rain"}),
        ("get_weather", {"result": "sun"}),
    ]


def names_fit(crossing: Crossing) -> None:
    """Names of documents in the wire's alphabet, once each."""
    names = [piece[1]["document"]["name"] for piece in crossing.pieces("other")]
    assert len(set(names)) == 2 and all(re.fullmatch(r"[\w\-()\[\]]+( [\w\-()\[\]]+)*", name, re.ASCII) for name in names), names


_DOCUMENT = Media("document", "application/pdf", PDF, name="Bericht  für/2026?.pdf")
ZEBRA = Tool("zebra", "z", {"type": "object", "properties": {"zz": {"type": "string"}, "aa": {"type": "string"}}})
MODELS = ("meta-llama/Llama-3.3-70B", "qwen3:8b", "a@20260101", "arn:aws:bedrock:us-east-1:1:inference-profile/us.a-b-v1:0")
SECTION_13 = [
    Row(112, "ttl", CACHED, breakpoints, sources=CLAUDES),
    Row(112, "most", TOO_MANY, four_at_most, targets=CLAUDES),
    Row(112, "order", ask(HI, tools=(ZEBRA, Tool("aardvark", "a", {"type": "object", "properties": {}}))), ordered_tools),
    Row(115, "", ask(samples.PICTURE.messages[0], tools=(samples.WEATHER,)), never_shortened, targets=(OLLAMA,)),
    Row(115, "too-long", ask(user_message("words " * 20000)), too_long, targets=(OLLAMA,), able=replace(ANY_MODEL, context=4096)),
    Row(116, "", MERGING, google_roles, targets=(GEMINI,)),
    Row(117, "", ask(Message("user", (_DOCUMENT, _DOCUMENT))), names_fit, sources=(*OPENAI, CLAUDE, INVOKE), targets=(CONVERSE,)),
    *(Row(114, f"model-{number}", ask(HI, model=name), model_named(name)) for number, name in enumerate(MODELS)),
]


@pytest.mark.parametrize(
    ("row", "source", "target"), crossings([*SECTION_1, *SECTION_2, *SECTION_5, *SECTION_6, *SECTION_9, *SECTION_10, *SECTION_13])
)
def test_requests(row: Row, source: str, target: str) -> None:
    row.check(Crossing(source, target, said_by(source, row.said), row.able))
