"""Reading a request body.

Spelling marks in `Request.form`: "input:string", "input:absent", "null:<key>" (a key that was null), "tools:empty", "text:empty",
"include:<entries>", "summary:<word>", "generate_summary:<word>", "store:false" and "model:absent"
(a stored prompt may name it).
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_responses.formats import LOGPROBS, parse_reasoning, parse_text, plain_includes
from headgate.dialects.openai_responses.tools import parse_tool_choice, parse_tools
from headgate.dialects.openai_responses.turns import INSTRUCTIONS, Turns
from headgate.dialects.openai_responses.words import NAME, malformed
from headgate.domain.content import Text
from headgate.domain.request import Message, Request, user_message
from headgate.wire.json import Json, JsonObject, decode, type_name

_NUMBER = frozenset({int, float})
_INTEGER = frozenset({int})
_BOOLEAN = frozenset({bool})
_TEXT = frozenset({str})
_OBJECT = frozenset({dict})
_ARRAY = frozenset({list})
_INPUT = frozenset({str, list})
_CHOICE = frozenset({str, dict})
_NAMES = {
    _NUMBER: "a number",
    _INTEGER: "an integer",
    _BOOLEAN: "a boolean",
    _TEXT: "a string",
    _OBJECT: "an object",
    _ARRAY: "an array",
    _INPUT: "a string or an array of items",
    _CHOICE: "a string or an object",
}

SCALARS: dict[str, tuple[str, frozenset[type]]] = {
    "model": ("model", _TEXT),
    "temperature": ("temperature", _NUMBER),
    "top_p": ("top_p", _NUMBER),
    "max_output_tokens": ("max_tokens", _INTEGER),
    "top_logprobs": ("top_logprobs", _INTEGER),
    "parallel_tool_calls": ("parallel_tools", _BOOLEAN),
    "user": ("user", _TEXT),
    "metadata": ("metadata", _OBJECT),
    "service_tier": ("service_tier", _TEXT),
    "stream": ("stream", _BOOLEAN),
}
"""Wire key -> domain field and the JSON types it may have. Any other type is malformed."""

REFERENCES = ("previous_response_id", "conversation", "prompt")
"""Keys that stand for content the provider keeps. They lie in `extra`."""


class _Draft:
    """The request while it is being read."""

    __slots__ = ("body", "extra", "fields", "form", "messages", "turns")

    def __init__(self, body: JsonObject) -> None:
        self.body = body
        self.extra: JsonObject = {}
        self.form: list[str] = []
        self.fields: dict[str, Json] = {"dialect": NAME}
        self.messages: list[Message] = []
        self.turns = Turns()


def parse_request(body: bytes, path: str) -> Request:
    """Read a request. `path` says nothing on this wire. Raises `WireError` with `param` for malformed input."""
    raw = decode(body, what="the request body")
    if type(raw) is not dict:
        raise malformed("body", f"an object, not {type_name(raw)}")
    draft = _Draft(raw)
    for key, value in raw.items():
        _take(draft, key, value)
    return _finish(draft)


def _take(draft: _Draft, key: str, value: Json) -> None:
    if value is None:
        draft.form.append(f"null:{key}")
        return
    scalar, reader = SCALARS.get(key), _READERS.get(key)
    types = scalar[1] if scalar is not None else reader[1] if reader is not None else None
    if types is None:
        draft.extra[key] = value
    elif type(value) not in types:
        raise malformed(key, f"{_NAMES[types]}, not {type_name(value)}")
    elif scalar is not None:
        draft.fields[scalar[0]] = value
    elif reader is not None:
        reader[0](draft, value)


def _finish(draft: _Draft) -> Request:
    fields, extra = draft.fields, draft.extra
    if "model" not in fields:
        if "prompt" not in extra:
            raise malformed("model", "given")
        fields["model"] = ""
        draft.form.append("model:absent")
    bound = tuple(key for key in REFERENCES if key in extra) + tuple(draft.turns.bound)
    _check_input(draft, bool(bound))
    if bound:
        fields["bound"] = bound
    if extra:
        fields["extra"] = extra
    if draft.form:
        fields["form"] = tuple(sorted(draft.form))
    return Request(messages=tuple(draft.messages + draft.turns.messages), **fields)


def _check_input(draft: _Draft, bound: bool) -> None:
    """Only a reference can stand for the input altogether. Raises `WireError` when there is neither."""
    if "input" not in draft.body:
        if not bound:
            raise malformed("input", "given")
        draft.form.append("input:absent")
    elif draft.body["input"] is None and not bound:
        raise malformed("input", "a string or an array of items, not null")


def _read_input(draft: _Draft, value: Json) -> None:
    turns = draft.turns
    if type(value) is str:
        turns.messages.append(user_message(value))
        draft.form.append("input:string")
        return
    for index, item in enumerate(value):
        turns.take(item, f"input[{index}]")
    turns.finish()


def _instructions(draft: _Draft, value: Json) -> None:
    draft.messages.append(Message("system", (Text(value),), form=INSTRUCTIONS))


def _tools(draft: _Draft, value: Json) -> None:
    draft.fields["tools"] = parse_tools(value)
    if not value:
        draft.form.append("tools:empty")


def _tool_choice(draft: _Draft, value: Json) -> None:
    choice = parse_tool_choice(value)
    if choice is None:
        draft.extra["tool_choice"] = value
    else:
        draft.fields["tool_choice"] = choice


def _text(draft: _Draft, value: Json) -> None:
    wanted, rest = parse_text(value)
    if wanted is not None:
        draft.fields["response_format"] = wanted
    if rest:
        draft.extra["text"] = rest
    elif not value:
        draft.form.append("text:empty")


def _reasoning(draft: _Draft, value: Json) -> None:
    draft.fields["reasoning"], mark = parse_reasoning(value)
    if mark:
        draft.form.append(mark)


def _store(draft: _Draft, value: Json) -> None:
    """Only a wish to keep the answer asks for something: no other wire keeps it anyway."""
    if value:
        draft.extra["store"] = value
    else:
        draft.form.append("store:false")


def _include(draft: _Draft, value: Json) -> None:
    if LOGPROBS in value:
        draft.fields["logprobs"] = True
    mark = plain_includes(value)
    if mark is None:
        draft.extra["include"] = value
    else:
        draft.form.append(mark)


_READERS: dict[str, tuple[Callable[[_Draft, Json], None], frozenset[type]]] = {
    "input": (_read_input, _INPUT),
    "instructions": (_instructions, _TEXT),
    "tools": (_tools, _ARRAY),
    "tool_choice": (_tool_choice, _CHOICE),
    "text": (_text, _OBJECT),
    "reasoning": (_reasoning, _OBJECT),
    "include": (_include, _ARRAY),
    "store": (_store, _BOOLEAN),
}
