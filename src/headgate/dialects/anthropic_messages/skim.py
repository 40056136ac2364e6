"""The account of a whole message in one typed pass: who answered, how it ended and what it counted, without the words.

Only what the records here name is taken for known. A message that says more, or says it otherwise, gives None and is read whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from headgate.dialects.anthropic_messages.words import FINISH, NAME, STRUCTURED_TOOL
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Written(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    ephemeral_5m_input_tokens: _Count = 0
    ephemeral_1h_input_tokens: _Count = 0


class _Usage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    input_tokens: _Count
    output_tokens: _Count
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation: _Written | None = None
    server_tool_use: None = None
    service_tier: str | None = None
    inference_geo: str | None = None


class _Text(msgspec.Struct, gc=False, tag_field="type", tag="text"):
    text: str


class _Thinking(msgspec.Struct, gc=False, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class _ToolUse(msgspec.Struct, gc=False, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, msgspec.Raw]


class _Message(msgspec.Struct, gc=False):
    type: Literal["message"]
    content: list[_Text | _Thinking | _ToolUse]
    stop_reason: str
    usage: _Usage
    id: str
    model: str
    stop_details: None = None


_decode = msgspec.json.Decoder(_Message).decode
_NOTHING_WRITTEN = _Written()
_FINISHED = {word: (Choice(finish=finish, native_finish=word),) for word, finish in FINISH.items()}


def skim(body: bytes) -> Response | None:
    """The account of a usual message; None for any other. `Response.choices` has no content."""
    try:
        message = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    finished, counted = _FINISHED.get(message.stop_reason), message.usage
    if finished is None or any(_contradicts(finished[0], block) for block in message.content):
        return None
    return Response(
        id=message.id, model=message.model, choices=finished, usage=_buckets(counted), service_tier=counted.service_tier, dialect=NAME
    )


def plain_usage(usage: Usage) -> Usage:
    """`usage` without the provider's own object, where that says nothing besides the buckets."""
    try:
        found = _buckets(msgspec.convert(usage.native, _Usage))
    except msgspec.ValidationError:
        return usage
    return found if found == msgspec.structs.replace(usage, native=None) else usage


def _buckets(counted: _Usage) -> Usage:
    split = counted.cache_creation or _NOTHING_WRITTEN
    written = counted.cache_creation_input_tokens or 0
    return Usage(
        input_uncached=counted.input_tokens,
        cache_read=counted.cache_read_input_tokens or 0,
        cache_write_5m=max(split.ephemeral_5m_input_tokens, written - split.ephemeral_1h_input_tokens),
        cache_write_1h=split.ephemeral_1h_input_tokens,
        output_text=counted.output_tokens,
    )


def _contradicts(choice: Choice, block: _Text | _Thinking | _ToolUse) -> bool:
    """A tool call that the stop reason does not speak of, or one that is none (see `structured`)."""
    return isinstance(block, _ToolUse) and (choice.finish is Finish.STOP or block.name == STRUCTURED_TOOL)
