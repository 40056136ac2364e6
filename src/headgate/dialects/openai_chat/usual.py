"""Reading the usual request in one typed pass.

Nearly all requests say nothing but what this module's records name, in the types they name. Those are decoded straight into records and
built into a `Request` without a look at single keys. Tool schemas stay raw: nobody on the way needs to see inside them. Records
forbid keys they do not name, nulls included, so nothing can be lost: a body that says anything else gives None and is read key by key,
with the same result for all that both can read.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from headgate.dialects.openai_chat.formats import parse_response_format
from headgate.dialects.openai_chat.messages import is_plain
from headgate.dialects.openai_chat.parts import parse_parts
from headgate.dialects.openai_chat.tools import parse_tool_choice
from headgate.dialects.openai_chat.words import NAME
from headgate.domain.content import Block, Text, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, Role, Tool, ToolChoice
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, Raw, loaded

_T = TypeVar("_T")

ABSENT: Json = None
"""Default of a key that may be missing: None, outside the types of its field, so that an explicit null does not pass for it."""


class _Record(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A wire object with these keys and no others."""


class _Text(_Record, tag_field="type", tag="text"):
    text: str
    cache_control: JsonObject = ABSENT


class _Image(_Record, tag_field="type", tag="image_url"):
    image_url: str | JsonObject


_Parts = list[_Text | _Image]


class _Function(_Record):
    name: str
    arguments: str


class _Call(_Record):
    id: str
    type: Literal["function"]
    function: _Function


class _System(_Record, tag_field="role", tag="system"):
    content: str | _Parts
    name: str = ABSENT


class _Developer(_Record, tag_field="role", tag="developer"):
    content: str | _Parts
    name: str = ABSENT


class _User(_Record, tag_field="role", tag="user"):
    content: str | _Parts
    name: str = ABSENT


class _Assistant(_Record, tag_field="role", tag="assistant"):
    content: str | _Parts | UnsetType | None = UNSET
    tool_calls: list[_Call] | UnsetType | None = UNSET
    refusal: UnsetType | None = UNSET
    annotations: list[Json] | UnsetType = UNSET
    audio: UnsetType | None = UNSET
    function_call: UnsetType | None = UNSET


class _Result(_Record, tag_field="role", tag="tool"):
    tool_call_id: str
    content: str | _Parts


class _Signature(_Record):
    name: str
    description: str = ABSENT
    parameters: Raw = ABSENT
    strict: bool = ABSENT


class _Tool(_Record):
    type: Literal["function"]
    function: _Signature


class _StreamOptions(_Record):
    include_usage: bool


class _Body(_Record):
    model: str
    messages: list[_System | _Developer | _User | _Assistant | _Result]
    temperature: int | float = ABSENT
    top_p: int | float = ABSENT
    max_tokens: int = ABSENT
    max_completion_tokens: int = ABSENT
    n: int = ABSENT
    seed: int = ABSENT
    stop: str | list[str] = ABSENT
    stream: bool = ABSENT
    stream_options: _StreamOptions = ABSENT
    tools: list[_Tool] = ABSENT
    tool_choice: str | JsonObject = ABSENT
    parallel_tool_calls: bool = ABSENT
    response_format: JsonObject = ABSENT
    reasoning_effort: str = ABSENT
    user: str = ABSENT
    presence_penalty: int | float = ABSENT
    frequency_penalty: int | float = ABSENT
    logit_bias: JsonObject = ABSENT
    logprobs: bool = ABSENT
    top_logprobs: int = ABSENT
    top_k: int = ABSENT
    metadata: JsonObject = ABSENT
    service_tier: str = ABSENT
    store: Json = UNSET
    verbosity: Json = UNSET
    modalities: Json = UNSET
    prediction: Json = UNSET
    prompt_cache_key: Json = UNSET
    safety_identifier: Json = UNSET
    web_search_options: Json = UNSET


class _UnusualError(Exception):
    """Something here needs the other reader."""


_decode = msgspec.json.Decoder(_Body).decode


def parse_usual(body: bytes) -> Request | None:
    """The request when `body` is a usual one, else None, malformed bodies included."""
    try:
        return _request(_decode(body), body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, WireError, _UnusualError):
        return None


def _request(wire: _Body, body: bytes) -> Request:
    max_tokens, form = _limit(wire)
    stop: tuple[str, ...] = ()
    if wire.stop is not None:
        stop, mark = _stop(wire.stop)
        form += mark
    request = Request(
        model=wire.model,
        messages=tuple([_BUILDERS[type(message)](message) for message in wire.messages]),
        tools=() if wire.tools is None else _tools(wire.tools, body),
        tool_choice=None if wire.tool_choice is None else _choice(wire.tool_choice),
        max_tokens=max_tokens,
        temperature=wire.temperature,
        stop=stop,
        stream=wire.stream,
        dialect=NAME,
        form=form,
    )
    return request if _seldom(wire) == _ABSENT else replace(request, **_further(wire))


_SAME = (
    "top_p",
    "top_k",
    "seed",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "metadata",
    "service_tier",
)
"""Seldom used fields that have the same name on the wire and in `Request`."""

_KEPT = ("store", "verbosity", "modalities", "prediction", "prompt_cache_key", "safety_identifier", "web_search_options")
"""Keys of the API reference without a field in `Request`: whatever they say stays in `extra`."""

_SELDOM = (*_SAME, "parallel_tool_calls", "response_format", "reasoning_effort", "stream_options")
_same = attrgetter(*_SAME)
_kept = attrgetter(*_KEPT)
_seldom = attrgetter(*_SELDOM, *_KEPT)
_ABSENT = (*[None] * len(_SELDOM), *[UNSET] * len(_KEPT))


def _further(wire: _Body) -> JsonObject:
    """The fields of `Request` that not every request says something about."""
    return {
        **dict(zip(_SAME, _same(wire), strict=True)),
        "parallel_tools": wire.parallel_tool_calls,
        "response_format": None if wire.response_format is None else _needed(parse_response_format(wire.response_format)),
        "reasoning": None if wire.reasoning_effort is None else Reasoning(wire.reasoning_effort),
        "stream_usage": None if wire.stream_options is None else wire.stream_options.include_usage,
        "extra": {key: value for key, value in zip(_KEPT, _kept(wire), strict=True) if value is not UNSET} or None,
    }


def _needed(found: _T | None) -> _T:
    if found is None:
        raise _UnusualError
    return found


def _choice(value: str | JsonObject) -> ToolChoice:
    choice, mark = parse_tool_choice(value)
    if choice is None or mark:
        raise _UnusualError
    return choice


def _tools(tools: list[_Tool], body: bytes) -> tuple[Tool, ...]:
    """The tools. Raw JSON has not been looked at: what is not UTF-8, or would break a line, is left to the other reader.

    A schema stays raw when it is an object with something in it; an empty one must not be taken for more.
    """
    if not tools or b"\n" in body or b"\r" in body:
        raise _UnusualError
    if not body.isascii():
        body.decode()
    found = []
    for tool in tools:
        function = tool.function
        parameters: Json = function.parameters
        if parameters is not None and bytes(parameters)[:2] != b'{"':
            parameters = _needed(loaded(parameters))
        found.append(Tool(function.name, function.description, parameters, function.strict))
    return tuple(found)


def _limit(wire: _Body) -> tuple[int | None, tuple[str, ...]]:
    """The output limit and the mark of its spelling."""
    older: int | None = wire.max_tokens
    newer: int | None = wire.max_completion_tokens
    if older is None:
        return newer, () if newer is None else ("max_completion_tokens",)
    if newer is not None:
        raise _UnusualError
    return older, ("max_tokens",)


def _stop(stop: str | list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stop sequences and the mark of their spelling."""
    if isinstance(stop, str):
        return (stop,), ("stop:string",)
    if not stop:
        raise _UnusualError
    return tuple(stop), ()


def _listed(parts: _Parts) -> tuple[tuple[Block, ...], str]:
    """Parts as blocks, and the mark of their spelling."""
    if len(parts) == 1 and type(part := parts[0]) is _Text and part.cache_control is ABSENT:
        return (Text(part.text),), "list"
    blocks: list[Block] = []
    for part in parts:
        blocks.append(Text(part.text) if type(part) is _Text and part.cache_control is ABSENT else _special(part))
    return tuple(blocks), "list" if not blocks or (len(blocks) == 1 and is_plain(blocks[0])) else ""


def _special(part: _Text | _Image) -> Block:
    item: JsonObject
    if isinstance(part, _Text):
        item = {"type": "text", "text": part.text, "cache_control": part.cache_control}
    else:
        item = {"type": "image_url", "image_url": part.image_url}
    return parse_parts([item], "content")[0]


def _prompt(message: _System | _Developer | _User) -> Message:
    content, role = message.content, _ROLES[type(message)]
    if isinstance(content, str):
        return Message(role, (Text(content),), message.name)
    blocks, form = _listed(content)
    return Message(role, blocks, message.name, None, form)


def _assistant(message: _Assistant) -> Message:
    content, calls = message.content, message.tool_calls
    extra = None if _echoed(message) == _NOT_ECHOED and calls is not None else _echo(message)
    asked = () if calls is None or calls is UNSET else _calls(calls)
    if content is None:
        return Message("assistant", asked, None, extra)
    if isinstance(content, str):
        return Message("assistant", (Text(content), *asked), None, extra)
    if content is UNSET:
        return Message("assistant", asked, None, extra, "absent")
    blocks, form = _listed(content)
    return Message("assistant", blocks + asked, None, extra, form)


_ECHOED = ("refusal", "annotations", "audio", "function_call")
_echoed = attrgetter(*_ECHOED)
_NOT_ECHOED = (UNSET,) * len(_ECHOED)


def _echo(message: _Assistant) -> JsonObject:
    """Keys without content that clients send back with an answer."""
    found = {key: value for key, value in zip(_ECHOED, _echoed(message), strict=True) if value is not UNSET}
    return {**found, "tool_calls": None} if message.tool_calls is None else found


def _calls(calls: list[_Call]) -> tuple[Block, ...]:
    if not calls:
        raise _UnusualError
    blocks: list[Block] = []
    for call in calls:
        if not call.id:
            raise _UnusualError
        function = call.function
        blocks.append(ToolCall(call.id, function.name, function.arguments))
    return tuple(blocks)


def _result(message: _Result) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message("tool", (ToolResult(message.tool_call_id, (Text(content),)),))
    blocks, form = _listed(content)
    return Message("tool", (ToolResult(message.tool_call_id, blocks, form=form),))


_ROLES: dict[type, Role] = {_System: "system", _Developer: "developer", _User: "user"}
_BUILDERS: dict[type, Callable[..., Message]] = {
    _System: _prompt,
    _Developer: _prompt,
    _User: _prompt,
    _Assistant: _assistant,
    _Result: _result,
}
