"""Reading a request body.

A request streams unless it says otherwise: `stream` is True when the key is absent or null. Marks in `Request.form`: "KEY:null" for a
known key that was null, "stream:absent", "messages:absent", "tools:empty", "format:empty", and those of `options`. Keys that only this
wire has (`keep_alive`, `truncate`, `shift` …) lie in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.ollama_chat.formats import parse_format
from headgate.dialects.ollama_chat.messages import parse_messages
from headgate.dialects.ollama_chat.options import parse_options
from headgate.dialects.ollama_chat.think import parse_think
from headgate.dialects.ollama_chat.tools import parse_tools
from headgate.dialects.ollama_chat.values import decode_body, malformed
from headgate.dialects.ollama_chat.words import NAME
from headgate.domain.request import Request
from headgate.wire.json import Json, JsonObject, arr, obj, text, type_name

NULLABLE = ("messages", "tools", "format", "options", "stream", "keep_alive", "think", "logprobs", "top_logprobs", "truncate", "shift")


class _Draft:
    """The request while it is being read."""

    __slots__ = ("extra", "fields", "form")

    def __init__(self) -> None:
        self.fields: JsonObject = {"messages": (), "stream": True}
        self.extra: JsonObject = {}
        self.form: list[str] = []


def parse_request(body: bytes, path: str) -> Request:
    """Read a chat request. `path` says nothing on this wire. Raises `WireError` with `param` for malformed input."""
    raw = obj(decode_body(body, "the request body"), "body")
    draft = _Draft()
    for key, value in raw.items():
        reader = _READERS.get(key)
        if value is None and key in NULLABLE:
            draft.form.append(f"{key}:null")
        elif reader is None:
            draft.extra[key] = value
        else:
            reader(draft, value)
    draft.form += [f"{key}:absent" for key in ("messages", "stream") if key not in raw]
    if "model" not in raw:
        raise malformed("model", "given")
    return Request(**draft.fields, dialect=NAME, extra=draft.extra or None, form=tuple(draft.form))


def _model(draft: _Draft, value: Json) -> None:
    draft.fields["model"] = text(value, "model")


def _messages(draft: _Draft, value: Json) -> None:
    draft.fields["messages"] = parse_messages(arr(value, "messages"))


def _tools(draft: _Draft, value: Json) -> None:
    draft.fields["tools"] = parse_tools(arr(value, "tools"))
    if not value:
        draft.form.append("tools:empty")


def _format(draft: _Draft, value: Json) -> None:
    if value == "":
        draft.form.append("format:empty")
    else:
        _keep(draft, "response_format", parse_format(value), "format", value)


def _options(draft: _Draft, value: Json) -> None:
    rest = parse_options(obj(value, "options"), draft.fields, draft.form)
    if rest is not None:
        draft.extra["options"] = rest


def _stream(draft: _Draft, value: Json) -> None:
    if not isinstance(value, bool):
        raise malformed("stream", f"a boolean, not {type_name(value)}")
    draft.fields["stream"] = value


def _think(draft: _Draft, value: Json) -> None:
    _keep(draft, "reasoning", parse_think(value), "think", value)


def _logprobs(draft: _Draft, value: Json) -> None:
    _keep(draft, "logprobs", value if isinstance(value, bool) else None, "logprobs", value)


def _top_logprobs(draft: _Draft, value: Json) -> None:
    _keep(draft, "top_logprobs", value if type(value) is int else None, "top_logprobs", value)


def _keep(draft: _Draft, field: str, found: object, key: str, value: Json) -> None:
    """Put what was understood into its field, else the raw value into `extra`."""
    if found is None:
        draft.extra[key] = value
    else:
        draft.fields[field] = found


_READERS: dict[str, Callable[[_Draft, Json], None]] = {
    "model": _model,
    "messages": _messages,
    "tools": _tools,
    "format": _format,
    "options": _options,
    "stream": _stream,
    "think": _think,
    "logprobs": _logprobs,
    "top_logprobs": _top_logprobs,
}
