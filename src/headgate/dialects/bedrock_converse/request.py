"""Reading a Converse request (Amazon Bedrock API reference, "Converse").

Each known key has a reader that fills fields of `Request`. Keys no reader knows, and known keys with a value the fields cannot hold (an
explicit null, an empty object, an unusual shape), go to `extra` as they came.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.bedrock_converse.blocks import parse_blocks
from headgate.dialects.bedrock_converse.names import parse_path
from headgate.dialects.bedrock_converse.settings import (
    parse_additional,
    parse_inference,
    parse_metadata,
    parse_output,
    parse_tier,
)
from headgate.dialects.bedrock_converse.tools import parse_tool_choice, parse_tools
from headgate.dialects.bedrock_converse.words import INLINE, NAME
from headgate.domain.request import Message, Request, Role
from headgate.errors import WireError
from headgate.wire.json import Json, JsonObject, arr, decode, obj

NO_MESSAGES = "nomessages"
"""Spelling mark: the body has no `messages` (a stored prompt brings them)."""

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def parse_request(body: bytes, path: str) -> Request:
    """Body and path as a `Request`. Raises `WireError` with `param` for malformed input."""
    model, streamed = parse_path(path)
    wire = obj(decode(body, what="request body"), "body")
    fields: JsonObject = {"extra": {}, "form": []}
    messages: list[Message] = []
    if wire.get("system"):
        messages.append(Message("system", parse_blocks(wire["system"], "system")))
    if "messages" in wire:
        messages += [_message(item, f"messages[{number}]") for number, item in enumerate(arr(wire["messages"], "messages"))]
    else:
        fields["form"].append(NO_MESSAGES)
    for key, value in wire.items():
        if key == "messages" or (key == "system" and value):
            continue
        read = _READERS.get(key)
        rest = value if read is None or value is None else read(value, fields)
        if rest is not None or value is None:
            fields["extra"][key] = rest
    fields["form"] = tuple(fields["form"])
    fields["extra"] = fields["extra"] or None
    return Request(model=model, messages=tuple(messages), stream=True if streamed else None, dialect=NAME, bound=_bound(wire), **fields)


def _bound(wire: JsonObject) -> tuple[str, ...]:
    """What stands for a prompt that Bedrock keeps."""
    missing = () if "messages" in wire else ("messages",)
    return (*missing, "promptVariables") if wire.get("promptVariables") else missing


def _message(value: Json, path: str) -> Message:
    wire = obj(value, path)
    word = wire.get("role")
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        raise WireError(f'{path}.role must be "user", "assistant" or "system", not {word!r}', param=f"{path}.role")
    extra = None if len(wire) == 2 else {key: item for key, item in wire.items() if key not in ("role", "content")}
    content = parse_blocks(wire.get("content"), f"{path}.content")
    return Message(role, content, None, extra or None, INLINE if role == "system" else "")


def _tool_config(value: Json, fields: JsonObject) -> JsonObject | None:
    """Tools and tool choice; what is left of the object."""
    wire = obj(value, "toolConfig")
    rest = dict(wire)
    if wire.get("tools"):
        fields["tools"] = parse_tools(arr(rest.pop("tools"), "toolConfig.tools"))
    choice = parse_tool_choice(wire.get("toolChoice"))
    if choice is not None:
        fields["tool_choice"] = choice
        del rest["toolChoice"]
    return rest if rest or not wire else None


_READERS: dict[str, Callable[[Json, JsonObject], Json]] = {
    "inferenceConfig": parse_inference,
    "toolConfig": _tool_config,
    "additionalModelRequestFields": parse_additional,
    "outputConfig": parse_output,
    "requestMetadata": parse_metadata,
    "serviceTier": parse_tier,
}
"""By key: fills fields and gives back what they cannot hold, None when nothing is left."""
