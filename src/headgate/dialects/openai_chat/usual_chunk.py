"""Reading the usual chunk of a stream in one typed pass: one choice that goes on, with nothing else to say.

The frame around a delta repeats itself in every chunk and is passed over; the delta itself comes as it stands. A chunk with usage, an
error, an end, several choices, or anything of another type gives None and is read key by key, with the same events for all that both can
read.
"""

from __future__ import annotations

import msgspec

from headgate.wire.json import JsonObject, typed_reader


class UsualChoice(msgspec.Struct, gc=False):
    """A choice that goes on."""

    delta: JsonObject
    index: int = 0
    finish_reason: str | None = None
    logprobs: JsonObject | None = None
    usage: JsonObject | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[UsualChoice]
    usage: JsonObject | None = None
    error: None = None
    x_groq: None = None


_read = typed_reader(_Chunk)


def read_usual(data: bytes) -> UsualChoice | None:
    """The one choice of a usual chunk, else None, malformed ones included."""
    chunk = _read(data)
    if chunk is None or chunk.usage is not None or len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    return None if choice.finish_reason or choice.usage is not None else choice
