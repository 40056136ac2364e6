"""Reading a Messages request (Anthropic API reference, "Create a Message").

Each known key has a reader that fills fields of `Request`. Keys no reader knows, and known keys with a value the fields cannot hold (an
explicit null, an unusual shape), go to `extra` as they came.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headgate.dialects.anthropic_messages.blocks import parse_content
from headgate.dialects.anthropic_messages.tools import parse_tool_choice, parse_tools
from headgate.dialects.anthropic_messages.words import NAME
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Role
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, number, obj, text, type_name

INLINE = "inline"
"""Mark of a system message that stood in `messages`, not in `system`."""

OUTPUT_FORMAT = "output_format"
"""Spelling mark: the answer's schema in the older top-level `output_format`."""

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def parse_request(body: bytes, path: str = "") -> Request:
    """A request body as a `Request`. Raises `WireError` with `param` for malformed input; `path` carries nothing on this wire."""
    wire = obj(decode(body, what="request body"), "body")
    fields: JsonObject = {"extra": {}, "form": ()}
    model = text(wire.get("model"), "model")
    messages = _messages(wire.get("messages"))
    system = wire.get("system")
    if system is not None:
        messages.insert(0, _message("system", system, "system"))
    for key, value in wire.items():
        read = _READERS.get(key)
        if read is not None and value is not None:
            read(value, fields)
        elif key not in _TAKEN or value is None:
            fields["extra"][key] = value
    fields["extra"] = fields["extra"] or None
    return Request(model=model, messages=tuple(messages), dialect=NAME, **fields)


_TAKEN = frozenset(("model", "messages", "system"))


def _message(role: Role, content: Json, path: str) -> Message:
    blocks, form = parse_content(content, path)
    return Message(role, blocks, form=form)


def _messages(value: Json) -> list[Message]:
    items = arr(value, "messages")
    return [_turn(item, f"messages[{number}]") for number, item in enumerate(items)]


def _turn(value: Json, path: str) -> Message:
    if not isinstance(value, dict):
        raise WireError(f"{path} must be an object, not {type_name(value)}", param=path)
    word = value.get("role")
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        raise WireError(f'{path}.role must be "user", "assistant" or "system", not {word!r}', param=f"{path}.role")
    content, form = parse_content(value.get("content"), f"{path}.content")
    if role == "system":
        form = f"{INLINE} {form}" if form else INLINE
    extra = {key: item for key, item in value.items() if key not in ("role", "content")} if len(value) > 2 else None
    return Message(role, content, None, extra, form)


def _whole(name: str) -> Callable[[Json, JsonObject], None]:
    def read(value: Json, fields: JsonObject) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise WireError(f"{name} must be an integer, not {type_name(value)}", param=name)
        fields[name] = value

    return read


def _real(name: str) -> Callable[[Json, JsonObject], None]:
    def read(value: Json, fields: JsonObject) -> None:
        fields[name] = number(value, name)

    return read


def _stream(value: Json, fields: JsonObject) -> None:
    if not isinstance(value, bool):
        raise WireError(f"stream must be a boolean, not {type_name(value)}", param="stream")
    fields["stream"] = value


def _stop(value: Json, fields: JsonObject) -> None:
    words = tuple([text(item, f"stop_sequences[{place}]") for place, item in enumerate(arr(value, "stop_sequences"))])
    if words:
        fields["stop"] = words
    else:
        fields["extra"]["stop_sequences"] = value


def _tier(value: Json, fields: JsonObject) -> None:
    fields["service_tier"] = text(value, "service_tier")


def _metadata(value: Json, fields: JsonObject) -> None:
    rest = dict(obj(value, "metadata"))
    if isinstance(rest.get("user_id"), str):
        fields["user"] = rest.pop("user_id")
        if not rest:
            return
    fields["extra"]["metadata"] = rest


def _think_more(fields: JsonObject, **more: Json) -> None:
    fields["reasoning"] = msgspec.structs.replace(fields.get("reasoning") or Reasoning(), **more)


_DISPLAY = {"summarized": True, "omitted": False}


def _thinking(value: Json, fields: JsonObject) -> None:
    rest = dict(obj(value, "thinking"))
    mode = text(rest.pop("type", None), "thinking.type")
    more: JsonObject = {"mode": mode}
    budget = rest.get("budget_tokens")
    if isinstance(budget, int) and not isinstance(budget, bool):
        more["budget"] = rest.pop("budget_tokens")
    display = rest.get("display")
    if isinstance(display, str) and display in _DISPLAY:
        more["visible"] = _DISPLAY[rest.pop("display")]
    _think_more(fields, **more, extra=rest or None)


def _schema_format(value: Json) -> ResponseFormat | None:
    """A `json_schema` output format; None when it is not one."""
    if not isinstance(value, dict) or value.get("type") != "json_schema" or not isinstance(value.get("schema"), dict | bool):
        return None
    extra = {key: item for key, item in value.items() if key not in ("type", "schema")}
    return ResponseFormat("json_schema", value["schema"], extra=extra or None)


def _output_config(value: Json, fields: JsonObject) -> None:
    rest = dict(obj(value, "output_config"))
    known = False
    if isinstance(rest.get("effort"), str):
        _think_more(fields, effort=rest.pop("effort"))
        known = True
    wanted = _schema_format(rest.get("format"))
    if wanted is not None:
        _prefer_new_format(fields, wanted)
        del rest["format"]
        known = True
    if rest or not known:
        fields["extra"]["output_config"] = rest


def _prefer_new_format(fields: JsonObject, wanted: ResponseFormat) -> None:
    """Take the format of `output_config`; an older `output_format` read before it stays as it came."""
    older = fields.get("response_format")
    if older is not None:
        fields["extra"][OUTPUT_FORMAT] = {"type": "json_schema", "schema": older.schema, **(older.extra or {})}
        fields["form"] = ()
    fields["response_format"] = wanted


def _output_format(value: Json, fields: JsonObject) -> None:
    wanted = _schema_format(value)
    if wanted is None or fields.get("response_format") is not None:
        fields["extra"][OUTPUT_FORMAT] = value
        return
    fields["response_format"] = wanted
    fields["form"] = (OUTPUT_FORMAT,)


def _tools(value: Json, fields: JsonObject) -> None:
    tools = parse_tools(arr(value, "tools"))
    if tools:
        fields["tools"] = tools
    else:
        fields["extra"]["tools"] = value


def _tool_choice(value: Json, fields: JsonObject) -> None:
    choice, parallel = parse_tool_choice(obj(value, "tool_choice"))
    if choice is None:
        fields["extra"]["tool_choice"] = value
    else:
        fields["tool_choice"], fields["parallel_tools"] = choice, parallel


_READERS: dict[str, Callable[[Json, JsonObject], None]] = {
    "max_tokens": _whole("max_tokens"),
    "top_k": _whole("top_k"),
    "temperature": _real("temperature"),
    "top_p": _real("top_p"),
    "stream": _stream,
    "stop_sequences": _stop,
    "service_tier": _tier,
    "metadata": _metadata,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _output_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
}
